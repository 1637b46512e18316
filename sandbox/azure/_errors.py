"""What the services of the stand-in refuse with.

AzureRefusal            any of them: a status, a code and a message
├── ArmRefusal          Resource Manager: JSON, https://learn.microsoft.com/rest/api/azure (error response content)
└── StorageRefusal      Blob Storage: XML, https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from xml.sax.saxutils import escape


class AzureRefusal(Exception):
    template = "{status} {code}: {message}"

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, detail: str = ""
    ) -> None:
        super().__init__(status, code, message, headers, detail)
        self.status, self.code, self.message, self.detail = status, code, message, detail
        self.headers = dict(headers or {})

    def __str__(self) -> str:
        return self.template.format(status=self.status, code=self.code, message=self.message)


class ArmRefusal(AzureRefusal):
    def body(self) -> bytes:
        return json.dumps({"error": {"code": self.code, "message": self.message}}).encode()


class StorageRefusal(AzureRefusal):
    def body(self, request_id: str, time: str) -> bytes:
        detail = f"<AuthenticationErrorDetail>{escape(self.detail)}</AuthenticationErrorDetail>" if self.detail else ""
        message = f"{self.message}\nRequestId:{request_id}\nTime:{time}"
        return (
            '<?xml version="1.0" encoding="utf-8"?>'
            f"<Error><Code>{self.code}</Code><Message>{escape(message)}</Message>{detail}</Error>"
        ).encode()


class DroppedConnection(ConnectionResetError):
    """Raised to close the connection in the middle of an answer: cheroot takes a reset for the client's doing."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "dropped on demand")
