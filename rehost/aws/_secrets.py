"""Secrets that AWS keeps: read when they are used, kept nowhere."""

from __future__ import annotations

from rehost.aws._errors import translated
from rehost.aws._session import Session


class Secrets:
    """Where a name is an ARN of another region, that region is asked."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def secrets_manager(self, name: str) -> str:
        """The text of a secret of AWS Secrets Manager. Raises AwsError; may be retried."""
        client = self._session.client("secretsmanager")
        with translated(client.meta.endpoint_url):
            return str(client.get_secret_value(SecretId=name)["SecretString"])

    def ssm_parameter(self, name: str) -> str:
        """A parameter of AWS Systems Manager, decrypted. Raises AwsError; may be retried."""
        client = self._session.client("ssm")
        with translated(client.meta.endpoint_url):
            return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
