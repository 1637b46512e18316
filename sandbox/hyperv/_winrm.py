"""WinRM's service behind its URL: WSMan's actions on shells of Windows PowerShell."""

from __future__ import annotations

import base64
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable

from sandbox.hyperv._faults import Faults
from sandbox.hyperv._shells import Quotas, Runner, Shell, Shells
from sandbox.hyperv._soap import (
    ADDRESSING,
    ANONYMOUS,
    CONFIG,
    SHELL,
    TRANSFER,
    WSMAN,
    WsmanAnswer,
    WsmanFault,
    WsmanRequest,
    access_denied,
    envelope_too_large,
    not_supported,
    read_request,
    write_answer,
    write_fault,
)

POWERSHELL = "http://schemas.microsoft.com/powershell/Microsoft.PowerShell"
_CREATION = "{http://schemas.microsoft.com/powershell}creationXml"
_ENVELOPE_OVERHEAD = 2048  # bytes of an answer that are not base64
_RUNSPACES = 5


class WinRm:
    """Answers envelopes. `administrators`: users that may open a shell; None is all."""

    def __init__(self, runner: Callable[[str], Runner], quotas: Quotas, faults: Faults, machine: str) -> None:
        """`runner` gives what runs the scripts of a user."""
        self.shells = Shells(quotas)
        self.refused: set[str] = set()
        self._runner = runner
        self._quotas = quotas
        self._faults = faults
        self._machine = machine
        self._actions = {
            f"{TRANSFER}/Create": self._create,
            f"{TRANSFER}/Delete": self._delete,
            f"{TRANSFER}/Get": self._get,
            f"{SHELL}/Command": self._command,
            f"{SHELL}/Receive": self._receive,
            f"{SHELL}/Send": self._send,
            f"{SHELL}/Signal": self._signal,
        }

    def handle(self, raw: bytes, user: str) -> tuple[int, bytes]:
        """The status and the envelope of the answer."""
        relates_to = ""
        try:
            if len(raw) > self._quotas.envelope_bytes:
                raise envelope_too_large(self._quotas.envelope_bytes)
            request = read_request(raw)
            relates_to = request.message
            if user in self.refused:
                raise access_denied()
            act = self._actions.get(request.action)
            if act is None:
                raise not_supported(request.action)
            self._faults.strike("wsman", request.action.rsplit("/", 1)[-1])
            answer = act(request, user)
        except WsmanFault as fault:
            return 500, write_fault(fault, relates_to, self._machine)
        return 200, write_answer(answer, relates_to)

    def _create(self, request: WsmanRequest, user: str) -> WsmanAnswer:
        self._expect(request)
        element = request.body.find(f"{{{SHELL}}}Shell")
        creation = element.find(_CREATION) if element is not None else None
        if element is None or creation is None or not creation.text:
            message = "The PowerShell plugin cannot process the request: it has no creationXml. "
            raise WsmanFault(2150858817, message, subcode="w:SchemaValidationError", sender=True)
        name = element.get("ShellId") or str(uuid.uuid4()).upper()
        most = min(self._quotas.envelope_bytes, request.envelope) - _ENVELOPE_OVERHEAD
        shell = Shell(name, user, self._runner(user), most // 4 * 3, _RUNSPACES)
        self.shells.add(shell)
        shell.feed(base64.b64decode(creation.text))
        answer = ET.Element(f"{{{TRANSFER}}}ResourceCreated")
        ET.SubElement(answer, f"{{{ADDRESSING}}}Address").text = ANONYMOUS
        parameters = ET.SubElement(answer, f"{{{ADDRESSING}}}ReferenceParameters")
        ET.SubElement(parameters, f"{{{WSMAN}}}ResourceURI").text = request.resource
        selectors = ET.SubElement(parameters, f"{{{WSMAN}}}SelectorSet")
        ET.SubElement(selectors, f"{{{WSMAN}}}Selector", {"Name": "ShellId"}).text = name
        return WsmanAnswer(f"{TRANSFER}/CreateResponse", [answer, self._described(shell, request.resource)])

    def _described(self, shell: Shell, resource: str) -> ET.Element:
        element = ET.Element(f"{{{SHELL}}}Shell")
        for name, value in (
            ("ShellId", shell.id),
            ("ResourceUri", resource),
            ("Owner", shell.user),
            ("ClientIP", "127.0.0.1"),
            ("IdleTimeOut", "PT7200.000S"),
            ("InputStreams", "stdin pr"),
            ("OutputStreams", "stdout"),
            ("MaxIdleTimeOut", "PT2147483.647S"),
            ("State", "Connected"),
            ("BufferMode", "Block"),
        ):
            ET.SubElement(element, f"{{{SHELL}}}{name}").text = value
        return element

    def _get(self, request: WsmanRequest, user: str) -> WsmanAnswer:
        action = f"{TRANSFER}/GetResponse"
        if request.resource == CONFIG:
            element = ET.Element(f"{{{CONFIG}}}Config")
            ET.SubElement(element, f"{{{CONFIG}}}MaxEnvelopeSizekb").text = str(self._quotas.envelope_bytes // 1024)
            ET.SubElement(element, f"{{{CONFIG}}}MaxTimeoutms").text = "60000"
            return WsmanAnswer(action, [element])
        if request.resource != SHELL:  # a shell is asked after by the resource of all shells
            self._expect(request)
        shell = self.shells.get(request.selectors.get("ShellId", ""), user)
        return WsmanAnswer(action, [self._described(shell, POWERSHELL)])

    def _command(self, request: WsmanRequest, user: str) -> WsmanAnswer:
        shell = self._shell(request, user)
        self.shells.admit(user)
        line = request.body.find(f"{{{SHELL}}}CommandLine")
        arguments = line.findtext(f"{{{SHELL}}}Arguments") if line is not None else None
        if line is None or not arguments:
            message = "The PowerShell plugin cannot process the request: it has no CommandLine with Arguments. "
            raise WsmanFault(2150858817, message, subcode="w:SchemaValidationError", sender=True)
        command = uuid.UUID(line.get("CommandId") or str(uuid.uuid4()))
        shell.feed(base64.b64decode(arguments), command)
        answer = ET.Element(f"{{{SHELL}}}CommandResponse")
        ET.SubElement(answer, f"{{{SHELL}}}CommandId").text = str(command).upper()
        return WsmanAnswer(f"{SHELL}/CommandResponse", [answer])

    def _send(self, request: WsmanRequest, user: str) -> WsmanAnswer:
        shell = self._shell(request, user)
        for stream in request.body.iterfind(f"{{{SHELL}}}Send/{{{SHELL}}}Stream"):
            command = stream.get("CommandId")
            shell.feed(base64.b64decode(stream.text or ""), uuid.UUID(command) if command else None)
        return WsmanAnswer(f"{SHELL}/SendResponse", [ET.Element(f"{{{SHELL}}}SendResponse")])

    def _receive(self, request: WsmanRequest, user: str) -> WsmanAnswer:
        shell = self._shell(request, user)
        desired = request.body.find(f"{{{SHELL}}}Receive/{{{SHELL}}}DesiredStream")
        text = desired.get("CommandId") if desired is not None else None
        most = (min(self._quotas.envelope_bytes, request.envelope) - _ENVELOPE_OVERHEAD) // 4 * 3
        payloads, done = shell.receive(uuid.UUID(text) if text else None, request.timeout, most)
        answer = ET.Element(f"{{{SHELL}}}ReceiveResponse")
        marks = {"CommandId": text} if text else {}
        for payload in payloads:
            stream = ET.SubElement(answer, f"{{{SHELL}}}Stream", {"Name": "stdout", **marks})
            stream.text = base64.b64encode(payload).decode()
        if text:
            state = f"{SHELL}/CommandState/{'Done' if done else 'Running'}"
            ET.SubElement(answer, f"{{{SHELL}}}CommandState", {"CommandId": text, "State": state})
        return WsmanAnswer(f"{SHELL}/ReceiveResponse", [answer])

    def _signal(self, request: WsmanRequest, user: str) -> WsmanAnswer:
        shell = self._shell(request, user)
        signal = request.body.find(f"{{{SHELL}}}Signal")
        if signal is None:
            raise not_supported("a Signal without its element")
        code = signal.findtext(f"{{{SHELL}}}Code") or ""
        shell.stop(uuid.UUID(signal.get("CommandId", "")), terminate=code.lower().endswith("/terminate"))
        return WsmanAnswer(f"{SHELL}/SignalResponse", [ET.Element(f"{{{SHELL}}}SignalResponse")])

    def _delete(self, request: WsmanRequest, user: str) -> WsmanAnswer:
        self.shells.remove(self._shell(request, user).id)
        return WsmanAnswer(f"{TRANSFER}/DeleteResponse")

    def _shell(self, request: WsmanRequest, user: str) -> Shell:
        self._expect(request)
        return self.shells.get(request.selectors.get("ShellId", ""), user)

    @staticmethod
    def _expect(request: WsmanRequest) -> None:
        if request.resource != POWERSHELL:
            message = (
                "The WS-Management service cannot process the request. The resource URI "
                f"({request.resource}) was not found in the WS-Management catalog. "
            )
            raise WsmanFault(2150858752, message, subcode="a:DestinationUnreachable", sender=True)
