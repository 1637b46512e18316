"""Fixed newstyle negotiation: structured replies, meta contexts, then GO."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rehost.sources.nbd import _wire as wire
from rehost.sources.nbd._errors import NbdProtocolError, NbdRefused
from rehost.sources.nbd._wire import Deadline, Wire

_REFUSALS = {
    1: "it does not know this option",
    2: "its policy forbids it",
    3: "it takes the request for invalid",
    4: "its platform cannot do it",
    5: "it wants TLS, which rehost does not speak to NBD servers; tunnel the connection",
    6: "there is no such export",
    7: "it is shutting down",
    8: "it wants block sizes to be negotiated",
    9: "the request is too large",
}
_REPLIES = 64  # an option is answered by a handful; more is a server that never ends


@dataclass(frozen=True, slots=True)
class Export:
    """What the server says of its export."""

    size: int  # bytes
    flags: int
    structured: bool
    contexts: Mapping[str, int] = field(default_factory=dict)  # meta context -> the server's number for it
    minimum: int = 1  # bytes; offsets and lengths of requests are multiples of it
    maximum: int = 32 << 20  # bytes of one request


def negotiate(connection: Wire, contexts: Sequence[str]) -> Export:
    """Open the export, with `contexts` for block status. All within the connection's timeout.

    Raises NbdRefused (also where a context is not there), NbdProtocolError, NbdTimeout, NbdUnavailable.
    """
    ends = time.monotonic() + connection.timeout
    talk = _Talk(connection, lambda: ends)
    talk.hello()
    structured = talk.structured_replies()
    if contexts and not structured:
        raise NbdRefused(where=connection.place, what="block status", reason="it knows no structured replies")
    return talk.go(structured, talk.meta_contexts(contexts) if contexts else {})


class _Talk:
    def __init__(self, connection: Wire, deadline: Deadline) -> None:
        self._wire, self._deadline = connection, deadline

    def hello(self) -> None:
        magic, option_magic, flags = struct.unpack("!QQH", self._receive(18, "greeting"))
        if magic != wire.MAGIC:
            raise self._broken("it is no NBD server: its greeting is another")
        if option_magic != wire.OPTION_MAGIC or not flags & wire.FLAG_FIXED_NEWSTYLE:
            raise self._broken("it does not speak the fixed newstyle negotiation")
        self._wire.send(struct.pack("!I", flags & (wire.FLAG_FIXED_NEWSTYLE | wire.FLAG_NO_ZEROES)))

    def structured_replies(self) -> bool:
        try:
            for _kind, _payload in self._option(wire.OPT_STRUCTURED_REPLY, b"", "structured replies"):
                raise self._broken("an answer to structured replies that is neither yes nor no")
        except NbdRefused:
            return False
        return True

    def meta_contexts(self, names: Sequence[str]) -> dict[str, int]:
        export = self._wire.place.export.encode()
        queries = b"".join(struct.pack("!I", len(name.encode())) + name.encode() for name in names)
        data = struct.pack("!I", len(export)) + export + struct.pack("!I", len(names)) + queries
        found: dict[str, int] = {}
        for kind, payload in self._option(wire.OPT_SET_META_CONTEXT, data, f"the contexts {', '.join(names)}"):
            if kind != wire.REP_META_CONTEXT or len(payload) < 5:
                raise self._broken(f"answer {kind} to the request for meta contexts")
            name = payload[4:].decode(errors="replace")
            if name not in names or name in found:
                raise self._broken("a meta context that was not asked for")
            found[name] = struct.unpack_from("!I", payload)[0]
        for name in names:
            if name not in found:
                raise NbdRefused(where=self._wire.place, what=f"the meta context {name}", reason="it does not have it")
        return found

    def go(self, structured: bool, contexts: Mapping[str, int]) -> Export:
        export = self._wire.place.export.encode()
        data = struct.pack("!I", len(export)) + export + struct.pack("!HH", 1, wire.INFO_BLOCK_SIZE)
        size: int | None = None
        flags, minimum, maximum = 0, 1, 32 << 20
        for kind, payload in self._option(wire.OPT_GO, data, "the export"):
            if kind != wire.REP_INFO or len(payload) < 2:
                raise self._broken(f"answer {kind} to the request for the export")
            info = struct.unpack_from("!H", payload)[0]
            if info == wire.INFO_EXPORT and len(payload) == 12:
                size, flags = struct.unpack_from("!QH", payload, 2)
            elif info == wire.INFO_BLOCK_SIZE and len(payload) == 14:
                minimum, _preferred, maximum = struct.unpack_from("!III", payload, 2)
        if size is None or size >= 1 << 63:
            raise self._broken("an export without a size")
        if minimum < 1 or minimum & (minimum - 1) or minimum > 1 << 16 or maximum < minimum:
            raise self._broken(f"block sizes from {minimum} to {maximum}")
        return Export(size, flags, structured, contexts, minimum, min(maximum - maximum % minimum, 32 << 20))

    def _option(self, option: int, data: bytes, what: str) -> Iterator[tuple[int, bytes]]:
        """Ask for an option; the answers up to its acknowledgement, which is not among them."""
        self._wire.send(wire.OPTION.pack(wire.OPTION_MAGIC, option, len(data)) + data)
        for _ in range(_REPLIES):
            magic, answered, kind, length = wire.OPTION_REPLY.unpack(
                self._receive(wire.OPTION_REPLY.size, f"answer to {what}")
            )
            if magic != wire.OPTION_REPLY_MAGIC or answered != option:
                raise self._broken(f"an answer to another question than {what}")
            payload = self._receive(length, f"answer to {what}")
            if kind & wire.REP_ERROR:
                reason = _REFUSALS.get(kind ^ wire.REP_ERROR, f"error {kind ^ wire.REP_ERROR}")
                told = payload.decode(errors="replace")[:200]
                raise NbdRefused(where=self._wire.place, what=what, reason=f"{reason} ({told})" if told else reason)
            if kind == wire.REP_ACK:
                return
            yield kind, payload
        raise self._broken(f"more than {_REPLIES} answers to {what}")

    def _receive(self, length: int, what: str) -> bytes:
        return self._wire.receive(length, self._deadline, what)

    def _broken(self, detail: str) -> NbdProtocolError:
        return NbdProtocolError(where=self._wire.place, detail=detail)
