"""A new estate repository: the files of `rehost init`."""

from rehost.scaffold._errors import FilesMissing, ScaffoldError, TargetInTheWay, TargetNotWritten, WrongSetting
from rehost.scaffold._estate import Settings, estate_files
from rehost.scaffold._write import NewFile, write

__all__ = [
    "FilesMissing",
    "NewFile",
    "ScaffoldError",
    "Settings",
    "TargetInTheWay",
    "TargetNotWritten",
    "WrongSetting",
    "estate_files",
    "write",
]
