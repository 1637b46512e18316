"""One logged-in connection to a share: files are opened, read and closed on it, by one thread at a time."""

from __future__ import annotations

import struct
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

from smbprotocol.file_info import FileInternalInformation
from smbprotocol.header import Commands
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    ShareAccess,
    SMB2CloseRequest,
    SMB2CreateRequest,
    SMB2CreateResponse,
    SMB2QueryInfoRequest,
    SMB2QueryInfoResponse,
)
from smbprotocol.session import SMB2Logoff

from rehost.sources.smb._frames import HEADER, Answer, Frames
from rehost.sources.smb._status import END_OF_FILE, PENDING, SUCCESS, ChannelLost, StatusError

_CREDIT = 64 << 10  # bytes that one credit pays for: MS-SMB2 3.1.5.2
_WANTED_CREDITS = 256
_IN_FLIGHT = 4  # requests of one read

_READ = struct.Struct("<HBBIQ16sIIIHHB")  # MS-SMB2 2.2.19
_READ_ANSWER = struct.Struct("<HBxI")  # MS-SMB2 2.2.20: size, offset of the data, its length
_DATA_AT = 80  # from the header, where servers put the data; sent along with the request for alignment

_ACCESS = (
    FilePipePrinterAccessMask.FILE_READ_DATA
    | FilePipePrinterAccessMask.FILE_READ_ATTRIBUTES
    | FilePipePrinterAccessMask.SYNCHRONIZE
)
#: Nobody is kept from opening, writing, renaming or deleting it meanwhile: the machine must not notice that it is read.
_SHARING = ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE | ShareAccess.FILE_SHARE_DELETE


@dataclass(frozen=True)
class Identity:
    """What a file is known by again after its session was lost."""

    size: int  # bytes
    number: int  # of the file in its volume; all ones where the file system has longer ones
    written: Any  # the time of the last write


class Channel:
    """Raises ChannelLost, after which it must be closed, and StatusError, after which it can be used further."""

    OVERHEAD: Final = 4096  # bytes of a message beside the data of a read

    def __init__(self, frames: Frames, *, read_size: int, timeout: float) -> None:
        self._frames = frames
        self._read_size = read_size
        self._timeout = timeout
        self.handles: dict[Hashable, bytes] = {}  # of whoever uses it
        self.forget: set[Hashable] = set()  # whose handles are to be closed

    def open(self, name: str) -> tuple[bytes, Identity]:
        create = SMB2CreateRequest()
        create["impersonation_level"] = ImpersonationLevel.Impersonation
        create["desired_access"] = _ACCESS
        create["share_access"] = _SHARING
        create["create_disposition"] = CreateDisposition.FILE_OPEN
        create["create_options"] = CreateOptions.FILE_NON_DIRECTORY_FILE
        create["buffer_path"] = name.encode("utf-16-le")
        made = self._structure(Commands.SMB2_CREATE, create, SMB2CreateResponse())
        handle: bytes = made["file_id"].get_value()
        ask = SMB2QueryInfoRequest()
        ask["info_type"] = FileInternalInformation.INFO_TYPE
        ask["file_info_class"] = FileInternalInformation.INFO_CLASS
        ask["output_buffer_length"] = 8
        ask["file_id"] = handle
        try:
            told = self._structure(Commands.SMB2_QUERY_INFO, ask, SMB2QueryInfoResponse())
        except StatusError:
            self.close_file(handle)
            raise
        number = int.from_bytes(told["buffer"].get_value()[:8], "little")
        return handle, Identity(made["end_of_file"].get_value(), number, made["last_write_time"].get_value())

    def read(self, handle: bytes, offset: int, view: memoryview) -> int:
        """Fill `view` from `offset`; fewer bytes only where the file ends before it is full."""
        done, ends = 0, len(view)  # asked for up to here; the file ends here
        waiting: dict[int, tuple[int, int]] = {}
        failed: StatusError | None = None
        while True:
            while done < ends and len(waiting) < _IN_FLIGHT and failed is None:
                length = min(self._read_size, ends - done)
                affordable = self._frames.credits * _CREDIT
                if length > affordable:
                    if waiting:
                        break  # the answers that are on their way bring the credits for a whole one
                    length = max(1, affordable)
                waiting[self._ask(handle, offset + done, length)] = (done, length)
                done += length
            if not waiting:
                break
            answer = self._receive(time.monotonic() + self._timeout)
            if answer.message not in waiting:
                raise ChannelLost("the server answered a request that was not made")
            at, length = waiting.pop(answer.message)
            try:
                got = self._data(answer, view[at : at + length])
            except StatusError as error:
                failed = failed or error  # the other answers have to be taken in still
                continue
            if got == 0:
                ends = min(ends, at)
            elif got < length and at + got < ends:
                waiting[self._ask(handle, offset + at + got, length - got)] = (at + got, length - got)
        if failed is not None:
            raise failed
        return ends

    def _ask(self, handle: bytes, offset: int, length: int) -> int:
        body = _READ.pack(49, _DATA_AT, 0, length, offset, handle, 0, 0, 0, 0, 0, 0)
        charge = -(-length // _CREDIT)
        return self._frames.send(Commands.SMB2_READ, body, charge=charge, want=_WANTED_CREDITS)

    def _data(self, answer: Answer, view: memoryview) -> int:
        if answer.status == END_OF_FILE:
            return 0
        if answer.status != SUCCESS:
            raise StatusError(answer.status)
        if len(answer.body) < _READ_ANSWER.size:
            raise ChannelLost("the server sent an answer that is cut short")
        _, at, length = _READ_ANSWER.unpack_from(answer.body)
        data = answer.body[at - HEADER : at - HEADER + length]
        if at < HEADER or len(data) != length or length > len(view):
            raise ChannelLost("the server sent an answer that contradicts itself")
        view[:length] = data
        return int(length)

    def close_file(self, handle: bytes) -> None:
        close = SMB2CloseRequest()
        close["file_id"] = handle
        self._request(Commands.SMB2_CLOSE, close.pack())

    def log_off(self) -> None:
        self._request(Commands.SMB2_LOGOFF, SMB2Logoff().pack())

    def _structure(self, command: int, request: Any, response: Any) -> Any:
        response.unpack(bytes(self._request(command, request.pack()).body))
        return response

    def _request(self, command: int, body: bytes) -> Answer:
        number = self._frames.send(command, body, charge=1, want=_WANTED_CREDITS)
        answer = self._receive(time.monotonic() + self._timeout)
        if answer.message != number or answer.command != command:
            raise ChannelLost("the server answered a request that was not made")
        if answer.status != SUCCESS:
            raise StatusError(answer.status)
        return answer

    def _receive(self, deadline: float) -> Answer:
        """The next answer that is one: a server may say first that it takes a while."""
        while (answer := self._frames.receive()).status == PENDING:
            if time.monotonic() > deadline:
                raise ChannelLost("the server did not answer in time")
        return answer

    def shut(self) -> None:
        self._frames.shut()

    def close(self) -> None:
        self._frames.close()
