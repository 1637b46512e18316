"""The policies of docs/policies for an account of one's own: the files are the only source of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "policies"
#: What the files name in place of one's own.
ACCOUNT, REGION, STACK = "111122223333", "eu-central-1", "prod"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
IMPORTER = f"arn:aws:iam::{ACCOUNT}:role/vmimport"
#: Statements about a key of one's own.
_OF_THE_KEY = frozenset({"UseTheKey", "LetEbsUseTheKey"})


def policy(
    name: str, *, account: str, region: str, stack: str, key: str | None = None, import_role: str = "vmimport"
) -> dict[str, Any]:
    """The file of that `name` for this account, region and stack; without a key of one's own, without its statements."""
    found = _document(name)
    words = [(KEY, key or KEY), (IMPORTER, _role(account, import_role)), (ACCOUNT, account), (REGION, region)]
    statements = [each for each in found["Statement"] if key or each.get("Sid") not in _OF_THE_KEY]
    said: dict[str, Any] = _replaced({**found, "Statement": statements}, words, stack)
    return _in_partition(said, region)


def key_policy(*, account: str, region: str, users: Sequence[str], import_role: str) -> dict[str, Any]:
    """The account administers the key; `users` (ARNs of roles) and the importer use it, as kms-key-statements.json says.

    IAM refuses a key's policy that names a role which does not exist.
    """
    statements: list[dict[str, Any]] = [
        {
            "Sid": "Administer",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ]
    for statement in _document("kms-key-statements")["Statement"]:
        named = statement["Principal"]["AWS"]
        named = [named] if isinstance(named, str) else named
        importer = [_role(account, import_role)] if IMPORTER in named else []
        others = list(users) if any(each != IMPORTER for each in named) else []
        if others + importer:
            statements.append({**statement, "Principal": {"AWS": others + importer}})
    return _in_partition({"Version": "2012-10-17", "Statement": statements}, region)


def _document(name: str) -> dict[str, Any]:
    path = FOLDER / f"{name}.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        message = f"{path} is missing: the landing zone takes its policies from the repository's docs/policies"
        raise FileNotFoundError(message) from None
    return found


def _role(account: str, role: str) -> str:
    return role if role.startswith("arn:") else f"arn:aws:iam::{account}:role/{role}"


def _replaced(value: Any, words: Sequence[tuple[str, str]], stack: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _replaced(each, words, stack) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, words, stack) for each in value]
    if value == STACK:
        return stack
    if isinstance(value, str):
        for word, own in words:
            value = value.replace(word, own)
    return value


def _in_partition(value: dict[str, Any], region: str) -> dict[str, Any]:
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    found: dict[str, Any] = json.loads(json.dumps(value).replace("arn:aws:", f"arn:{partition}:"))
    return found
