"""What keeps an estate repository from being made.

ScaffoldError
├── WrongSetting        a name that Pulumi, AWS or GitHub would not take
├── TargetInTheWay      something is there already; nothing is overwritten
├── TargetNotWritten    the file system refuses; what was written until then is gone again
└── FilesMissing        this installation of rehost is not whole
"""

from __future__ import annotations

from rehost.errors import RehostError


class ScaffoldError(RehostError):
    """Nothing was made."""


class WrongSetting(ScaffoldError):
    template = "{option} {value!r} will not do: {what}"


class TargetInTheWay(ScaffoldError):
    template = "{what}; nothing is overwritten: choose another folder, or move that away"


class TargetNotWritten(ScaffoldError):
    template = "{path} cannot be written: {reason}; what was written before it is removed again"


class FilesMissing(ScaffoldError):
    template = "this installation of rehost has no {name}, which an estate needs: install it with pip, or use a clone"
