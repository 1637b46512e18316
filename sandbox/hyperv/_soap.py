"""WSMan's envelopes as WinRM reads and writes them (MS-WSMV, DSP0226): requests, answers, faults."""

from __future__ import annotations

import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
CONFIG = "http://schemas.microsoft.com/wbem/wsman/1/config"
ANONYMOUS = f"{ADDRESSING}/role/anonymous"
_FAULT_ACTION = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"

for _prefix, _uri in (("s", SOAP), ("a", ADDRESSING), ("w", WSMAN), ("rsp", SHELL), ("x", TRANSFER), ("cfg", CONFIG)):
    ET.register_namespace(_prefix, _uri)


class WsmanFault(Exception):
    """What WinRM refuses a request with. `code` as wsmerror.h has it."""

    def __init__(self, code: int, message: str, *, subcode: str = "w:InternalError", sender: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.subcode = subcode
        self.sender = sender


def access_denied() -> WsmanFault:
    return WsmanFault(5, "Access is denied. ", subcode="w:AccessDenied", sender=True)


def timed_out() -> WsmanFault:
    return WsmanFault(
        2150858793,
        "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  ",
        subcode="w:TimedOut",
    )


def shell_not_found(shell: str) -> WsmanFault:
    return WsmanFault(
        2150858843,
        f"The request for the Windows Remote Shell with ShellId {shell} failed because the shell was not found on the "
        "server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the server. "
        "Provide the correct ShellId or create a new shell and retry the operation. ",
        subcode="w:InvalidSelectors",
        sender=True,
    )


def too_many_shells(limit: int) -> WsmanFault:
    return WsmanFault(
        2150859173,
        "The WS-Management service cannot process the request. This user is allowed a maximum number of "
        f"{limit} concurrent shells, which has been exceeded. Close existing shells or raise the quota for this user. ",
        subcode="w:QuotaLimit",
    )


def too_many_operations(limit: int) -> WsmanFault:
    return WsmanFault(
        2150859174,
        "The WS-Management service cannot process the request. The maximum number of concurrent operations for this "
        f"user ({limit}) has been exceeded. Close existing operations for this user, or raise the quota for this user. ",
        subcode="w:QuotaLimit",
    )


def envelope_too_large(limit: int) -> WsmanFault:
    return WsmanFault(
        2150858825,
        f"The WS-Management service cannot process the request. The SOAP packet is larger than MaxEnvelopeSizekb allows "
        f"({limit // 1024}). ",
        subcode="w:EncodingLimit",
        sender=True,
    )


def not_supported(action: str) -> WsmanFault:
    return WsmanFault(
        2150858753,
        f"The WS-Management service cannot process the request. The action URI {action} is not one that this stand-in "
        "for Windows knows. ",
        subcode="a:ActionNotSupported",
        sender=True,
    )


@dataclass(frozen=True)
class WsmanRequest:
    action: str
    resource: str
    message: str  # id
    envelope: int  # bytes that the client takes
    timeout: float  # seconds
    selectors: Mapping[str, str]
    options: Mapping[str, str]
    body: ET.Element


@dataclass
class WsmanAnswer:
    action: str
    body: list[ET.Element] = field(default_factory=list)


def read_request(raw: bytes) -> WsmanRequest:
    """Raises WsmanFault for what is no envelope."""
    try:
        root = ET.fromstring(raw)
    except ET.ParseError as error:
        message = f"The WS-Management service cannot process the request. The XML is invalid: {error}. "
        raise WsmanFault(2150858817, message, subcode="w:SchemaValidationError", sender=True) from None
    header, body = root.find(f"{{{SOAP}}}Header"), root.find(f"{{{SOAP}}}Body")
    if header is None or body is None:
        message = "The WS-Management service cannot process the request. The SOAP header or body is absent. "
        raise WsmanFault(2150858817, message, subcode="w:SchemaValidationError", sender=True)

    def text(space: str, name: str) -> str:
        return (header.findtext(f"{{{space}}}{name}") or "").strip()

    def named(group: str, item: str) -> dict[str, str]:
        found = header.iterfind(f"{{{WSMAN}}}{group}/{{{WSMAN}}}{item}")
        return {element.get("Name", ""): element.text or "" for element in found}

    duration = re.fullmatch(r"PT(\d+(?:\.\d+)?)S", text(WSMAN, "OperationTimeout"))
    return WsmanRequest(
        action=text(ADDRESSING, "Action"),
        resource=text(WSMAN, "ResourceURI"),
        message=text(ADDRESSING, "MessageID"),
        envelope=int(text(WSMAN, "MaxEnvelopeSize") or 153600),
        timeout=float(duration[1]) if duration else 60.0,
        selectors=named("SelectorSet", "Selector"),
        options=named("OptionSet", "Option"),
        body=body,
    )


def write_answer(answer: WsmanAnswer, relates_to: str) -> bytes:
    return _envelope(answer.action, relates_to, answer.body)


def write_fault(fault: WsmanFault, relates_to: str, machine: str) -> bytes:
    element = ET.Element(f"{{{SOAP}}}Fault")
    code = ET.SubElement(element, f"{{{SOAP}}}Code")
    ET.SubElement(code, f"{{{SOAP}}}Value").text = "s:Sender" if fault.sender else "s:Receiver"
    subcode = ET.SubElement(code, f"{{{SOAP}}}Subcode")
    ET.SubElement(subcode, f"{{{SOAP}}}Value").text = fault.subcode
    reason = ET.SubElement(element, f"{{{SOAP}}}Reason")
    text = ET.SubElement(reason, f"{{{SOAP}}}Text", {"{http://www.w3.org/XML/1998/namespace}lang": "en-US"})
    text.text = fault.message
    detail = ET.SubElement(element, f"{{{SOAP}}}Detail")
    inner = ET.SubElement(detail, f"{{{FAULT}}}WSManFault", {"Code": str(fault.code), "Machine": machine})
    ET.SubElement(inner, f"{{{FAULT}}}Message").text = fault.message
    return _envelope(_FAULT_ACTION, relates_to, [element])


def _envelope(action: str, relates_to: str, body: list[ET.Element]) -> bytes:
    root = ET.Element(f"{{{SOAP}}}Envelope")
    header = ET.SubElement(root, f"{{{SOAP}}}Header")
    ET.SubElement(header, f"{{{ADDRESSING}}}Action").text = action
    ET.SubElement(header, f"{{{ADDRESSING}}}MessageID").text = f"uuid:{str(uuid.uuid4()).upper()}"
    ET.SubElement(header, f"{{{ADDRESSING}}}To").text = ANONYMOUS
    ET.SubElement(header, f"{{{ADDRESSING}}}RelatesTo").text = relates_to
    ET.SubElement(root, f"{{{SOAP}}}Body").extend(body)
    return bytes(ET.tostring(root, encoding="utf-8"))
