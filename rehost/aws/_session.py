"""One SDK session for the settings of a stack. Everything the SDK knows (profiles, roles, SSO, proxies, endpoints) holds."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
import botocore.config

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
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    @cached_property
    def boto(self) -> boto3.Session:
        # AWS_REGION is what every SDK but boto3 reads; boto3 itself knows AWS_DEFAULT_REGION only.
        region = self.settings.region or os.environ.get("AWS_REGION") or None
        with translated():
            return boto3.Session(profile_name=self.settings.profile, region_name=region)

    @property
    def region(self) -> str:
        """Raises `RegionMissing`."""
        region = self.boto.region_name
        if not region:
            raise RegionMissing
        return str(region)

    def client(self, service: str) -> Any:
        with self._lock, translated():
            if service not in self._clients:
                self._clients[service] = self.boto.client(
                    service,
                    region_name=self.region,
                    endpoint_url=self.settings.endpoint,
                    config=botocore.config.Config(
                        retries={"mode": "standard", "total_max_attempts": 6},
                        connect_timeout=10,
                        read_timeout=60,
                        max_pool_connections=16,
                        user_agent_extra=f"rehost/{__version__}",
                    ),
                )
            return self._clients[service]

    def check_access(self) -> Identity:
        """Who we are, asked of STS: the cheapest call that any credentials may make."""
        client = self.client("sts")
        with translated(client.meta.endpoint_url):
            answer = client.get_caller_identity()
        return Identity(answer["Account"], answer["Arn"], self.region)
