"""References to secrets: where one is kept. A spec, the state and the control plane hold the reference alone; whoever uses the secret
resolves it at that moment and stores it nowhere.

A reference is a mapping with one key: `{env: NAME}`, `{secretsManager: NAME}`, `{ssmParameter: NAME}` or `{pulumiConfig: KEY}`.
`env` is resolved here; what else a process can resolve, it says with `register`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from rehost.errors import RehostError

KINDS = ("env", "secretsManager", "ssmParameter", "pulumiConfig")


class SecretUnavailable(RehostError):
    """Attributes: `reference` (as text; it is no secret), `reason`."""

    template = "the secret {reference} cannot be had: {reason}"


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        reason = "the environment variable is not set where this process runs; set it and start again"
        raise SecretUnavailable(reference=f"{{env: {name}}}", reason=reason)
    return value


_resolvers: dict[str, Callable[[str], str]] = {"env": _from_environment}


def register(kind: str, resolver: Callable[[str], str]) -> None:
    """Let this process resolve references of `kind`; the resolver raises SecretUnavailable."""
    _resolvers[kind] = resolver


def resolve(reference: Mapping[str, Any]) -> str:
    """The secret itself. Raises SecretUnavailable; whether a retry helps depends on where it is kept."""
    if not isinstance(reference, Mapping) or len(reference) != 1 or not set(reference) <= set(KINDS):
        # What stands there may be the secret itself: it is not repeated.
        raise SecretUnavailable(reference="given", reason=f"it is not a reference with one of {', '.join(KINDS)}")
    kind, name = next(iter(reference.items()))
    if kind not in _resolvers:
        reason = f"this process cannot resolve {kind}; it can resolve {', '.join(_resolvers)}"
        raise SecretUnavailable(reference=f"{{{kind}: {name}}}", reason=reason)
    return _resolvers[kind](str(name))
