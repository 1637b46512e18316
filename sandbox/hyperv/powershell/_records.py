"""What a catch block sees: the error record, its exception and its category."""

from __future__ import annotations

from sandbox.hyperv.powershell._errors import ErrorInfo
from sandbox.hyperv.powershell._values import NetObject, TypeName


class ErrorRecord(NetObject):
    """$_ in a catch block."""

    type_name = "System.Management.Automation.ErrorRecord"

    def __init__(self, info: ErrorInfo) -> None:
        self.info = info
        self.exception = ExceptionObject(info)
        self.category = CategoryInfo(info)

    properties = {  # noqa: RUF012 - a table of the class, as its base declares
        "Exception": "exception",
        "CategoryInfo": "category",
        "FullyQualifiedErrorId": lambda record: record.info.error_id,
        "TargetObject": lambda record: record.info.target,
    }

    def text(self) -> str:
        return self.info.message


class ExceptionObject(NetObject):
    type_name = "System.Exception"
    properties = {  # noqa: RUF012
        "Message": lambda exception: exception.info.message,
        "HResult": lambda exception: exception.info.hresult,
        "InnerException": lambda exception: None,
    }
    methods = {"GetType": lambda exception: TypeName(exception.info.exception)}  # noqa: RUF012

    def __init__(self, info: ErrorInfo) -> None:
        self.info = info

    def text(self) -> str:
        return f"{self.info.exception}: {self.info.message}"


class CategoryInfo(NetObject):
    type_name = "System.Management.Automation.ErrorCategoryInfo"
    properties = {  # noqa: RUF012
        "Category": lambda category: category.info.category,
        "Activity": lambda category: category.info.activity,
        "Reason": lambda category: category.info.exception.rsplit(".", 1)[-1],
    }

    def __init__(self, info: ErrorInfo) -> None:
        self.info = info
