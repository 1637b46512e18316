"""One SDK session for the settings of a stack. Everything the SDK knows (profiles, roles, SSO, proxies, endpoints) holds."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import botocore.config
import botocore.session

from rehost import __version__
from rehost.aws._errors import RegionMissing, translated


@dataclass(frozen=True)
class AwsSettings:
    """What a stack may set; None leaves it to the SDK's own settings (`AWS_REGION`, `AWS_PROFILE`, `AWS_ENDPOINT_URL_EBS` ...)."""

    region: str | None = None
    profile: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True)
class Identity:
    account: str
    arn: str
    region: str


class Session:
    """Clients, made once each. Thread-safe: boto's clients are, and making them is under a lock."""

    def __init__(self, settings: AwsSettings) -> None:
        self.settings = settings
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    @cached_property
    def sdk(self) -> botocore.session.Session:
        """botocore's session, which boto3's is a shell around: its resources are not used here, and importing them costs."""
        with translated():
            # Of the two variables botocore reads AWS_DEFAULT_REGION alone; every other SDK reads AWS_REGION.
            region = self.settings.region or os.environ.get("AWS_REGION") or None
            session = botocore.session.Session(profile=self.settings.profile)
            if region:
                session.set_config_variable("region", region)
            session.get_scoped_config()  # a profile that does not exist is said here
            return session

    @property
    def region(self) -> str:
        """Raises `RegionMissing`."""
        region = self.sdk.get_config_variable("region")
        if not region:
            raise RegionMissing
        return str(region)

    def client(self, service: str, *, region: str | None = None) -> Any:
        """Of the session's region, or of another one."""
        key = (service, region or self.region)
        with self._lock, translated():
            if key not in self._clients:
                self._clients[key] = self.sdk.create_client(
                    service,
                    region_name=key[1],
                    endpoint_url=self.settings.endpoint,
                    config=botocore.config.Config(
                        retries={"mode": "standard", "total_max_attempts": 6},
                        connect_timeout=10,
                        read_timeout=60,
                        max_pool_connections=16,
                        user_agent_extra=f"rehost/{__version__}",
                    ),
                )
            return self._clients[key]

    def check_access(self) -> Identity:
        """Who we are, asked of STS: the cheapest call that any credentials may make."""
        client = self.client("sts")
        with translated(client.meta.endpoint_url):
            answer = client.get_caller_identity()
        return Identity(answer["Account"], answer["Arn"], self.region)
