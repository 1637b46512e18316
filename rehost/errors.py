"""The root of every error that rehost raises on purpose.

    RehostError
    ├── rehost.spec.SpecErrors           the spec is wrong: every finding at once, with its position
    ├── rehost.sources.SourceError       a place servers live refuses, vanishes or changes
    ├── rehost.transfer.TransferError    a block cannot be read, sent or verified
    ├── rehost.aws.AwsError              AWS refuses, throttles or cannot be reached
    ├── rehost.control.ControlError      the control plane refuses or cannot be reached
    ├── rehost.importers.InventoryError  an inventory of another tool cannot be taken over
    └── rehost.connector.RunFailed       a replication run ended without an image

Each package keeps its own branch in its `_errors.py`; errors of foreign libraries are translated once, where the call is
made. An error is a message template plus attributes, survives pickle (DBOS stores errors that way), and its message says
where, what, and what to do.
"""

from __future__ import annotations

from typing import Any, ClassVar


class RehostError(Exception):
    """An error with a message template and named attributes.

    A subclass sets `template` and, where repeating the same call later may succeed, `retryable`. The attributes are given
    as keywords and can be read from the instance: `SourceMissing(path="a.raw").path`.
    """

    template: ClassVar[str] = "{detail}"
    retryable: ClassVar[bool] = False

    def __init__(self, **attributes: Any) -> None:
        self.attributes = attributes
        super().__init__(self.template.format(**attributes))

    def __getattr__(self, name: str) -> Any:
        # Called only for names that are not found the usual way; `attributes` itself is missing while unpickling.
        try:
            return self.__dict__["attributes"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.attributes)


def _rebuild(kind: type[RehostError], attributes: dict[str, Any]) -> RehostError:
    return kind(**attributes)
