"""Secrets that AWS keeps, for every process that opens a source: connectors, the providers of `pulumi`, the command."""

from __future__ import annotations

from dataclasses import replace

from rehost import secrets
from rehost.aws import Aws, AwsSettings


def resolve_from_aws(settings: AwsSettings | None = None) -> None:
    """Let this process resolve the references that AWS keeps: `secretsManager` and `ssmParameter`.

    With the credentials and the region of `settings`, or else of its environment; a name that is an ARN is asked for in its
    own region. Nothing is asked before a secret is used. Resolving raises AwsError.
    """
    given = settings or AwsSettings()

    def aws(name: str) -> Aws:
        return Aws(replace(given, region=name.split(":")[3]) if name.startswith("arn:") else given)

    secrets.register("secretsManager", lambda name: aws(name).secrets.secrets_manager(name))
    secrets.register("ssmParameter", lambda name: aws(name).secrets.ssm_parameter(name))


__all__ = ["resolve_from_aws"]
