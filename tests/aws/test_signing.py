"""Our signatures are botocore's."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from rehost.aws._signing import Signer

TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
HEADERS = st.dictionaries(
    st.from_regex(r"x-amz-[a-z-]{1,12}", fullmatch=True).filter(
        lambda name: name not in ("x-amz-date", "x-amz-content-sha256", "x-amz-security-token")
    ),
    TEXT,
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(
    headers=HEADERS,
    query=st.dictionaries(st.from_regex(r"[a-zA-Z]{1,12}", fullmatch=True), TEXT, max_size=3),
    secret=TEXT,
    token=st.none() | TEXT,
    body=st.binary(max_size=64),
    index=st.integers(0, 10**9),
)
def test_each_signature_equals_botocores(
    headers: dict[str, str], query: dict[str, str], secret: str, token: str | None, body: bytes, index: int
) -> None:
    moment = datetime(2026, 12, 5, 22, 0, 1, tzinfo=UTC)
    credentials = Credentials("AKIDEXAMPLE", secret, token)
    path = f"/snapshots/snap-0123/blocks/{index}"
    payload = hashlib.sha256(body).hexdigest()
    url = f"https://ebs.eu-central-1.amazonaws.com{path}"
    if query:
        url += "?" + "&".join(f"{key}={quote(value, safe='-_.~')}" for key, value in query.items())
    request = AWSRequest("PUT", url, headers={**headers, "X-Amz-Content-SHA256": payload}, data=body)
    with (
        patch("botocore.auth.get_current_datetime", return_value=moment),
        patch("botocore.compat.get_current_datetime", return_value=moment),
    ):
        SigV4Auth(credentials, "ebs", "eu-central-1").add_auth(request)
    with patch("rehost.aws._signing.datetime") as clock:
        clock.now.return_value = moment
        ours = Signer(credentials, "eu-central-1", "ebs").headers(
            "PUT", "ebs.eu-central-1.amazonaws.com", path, query, headers, payload
        )
    assert ours["authorization"] == request.headers["Authorization"]


def test_renewed_credentials_sign_anew() -> None:
    credentials = Credentials("AKID", "first")
    signer = Signer(credentials, "eu-central-1", "ebs")
    arguments: tuple[Any, ...] = ("GET", "host", "/", {}, {}, hashlib.sha256(b"").hexdigest())
    with patch("rehost.aws._signing.datetime") as clock:
        clock.now.return_value = datetime(2026, 12, 5, tzinfo=UTC)
        before = signer.headers(*arguments)["authorization"]
        credentials.secret_key = "second"
        assert signer.headers(*arguments)["authorization"] != before
