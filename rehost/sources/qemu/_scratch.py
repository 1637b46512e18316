"""What a freeze keeps in the source's scratch folder: a file a disk for what the guest overwrites, a socket, a note."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rehost.sources._errors import SourceUnavailable
from rehost.sources.qemu import _names

_SOCKET_PATH = 107  # bytes that the path of a unix socket can have (sun_path of unix(7), without its end)


@dataclass(frozen=True)
class Note:
    """Which run froze the machine last; written before anything is done to it."""

    run: str
    token: str | None = None  # once the point in time stands
    guest_frozen: bool = False  # the agent was asked to freeze and not yet, for certain, to thaw


@dataclass(frozen=True)
class Scratch:
    """The files of one machine."""

    folder: Path
    stem: str

    @classmethod
    def of(cls, folder: Path, machine: str) -> Self:
        fits = re.fullmatch(r"[A-Za-z0-9._-]{1,60}", machine)
        return cls(folder, _names.PREFIX + (machine if fits else hashlib.sha256(machine.encode()).hexdigest()[:32]))

    def disk(self, run: str, index: int) -> Path:
        return self.folder / f"{self.stem}+{hashlib.sha256(run.encode()).hexdigest()[:12]}-{index}.qcow2"

    @property
    def socket(self) -> Path:
        return self.folder / f"{self.stem}.nbd"

    def prepare(self) -> None:
        """Raises SourceUnavailable where the folder will not do."""
        if len(os.fsencode(self.socket)) > _SOCKET_PATH:
            reason = f"the path of its scratch folder is too long for the socket {self.socket}; set a shorter `scratch`"
            raise SourceUnavailable(place=str(self.folder), reason=reason)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"the scratch folder cannot be made: {error.strerror}"
            raise SourceUnavailable(place=str(self.folder), reason=reason) from error

    def room(self) -> int:
        """Free bytes."""
        return os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize

    def note(self) -> Note | None:
        try:
            return Note(**json.loads(self._note.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write_note(self, note: Note) -> None:
        """Whole or not at all, and on the disk when it returns. Raises SourceUnavailable."""
        self.write(self._note, note.__dict__)

    def write(self, path: Path, content: Mapping[str, Any]) -> None:
        """Whole or not at all, and on the disk when it returns. Raises SourceUnavailable."""
        partial = path.with_suffix(".partial")
        try:
            with open(partial, "w", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        except OSError as error:
            reason = f"the scratch folder cannot be written to: {error.strerror}"
            raise SourceUnavailable(place=str(self.folder), reason=reason) from error

    def remove(self) -> None:
        """All but the lock of freezing. Raises SourceUnavailable."""
        for path in self._made():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise SourceUnavailable(place=str(path), reason=f"it cannot be removed: {error.strerror}") from error

    def files(self) -> list[Path]:
        """What of `remove` is there."""
        return [path for path in self._made() if path.exists()]

    def _made(self) -> list[Path]:
        return [*self.folder.glob(f"{self.stem}+*"), self.socket, self._note]

    @property
    def power_mark(self) -> Path:
        """Stays when a point in time goes."""
        return self.folder / f"{self.stem}.power"

    @property
    def _note(self) -> Path:
        return self.folder / f"{self.stem}.json"

    def lock_freezing(self) -> Lock:
        """Held while a point in time is taken or taken back. Raises SourceUnavailable where somebody else does."""
        lock = self._lock(self.folder / f"{self.stem}.lock")
        try:
            lock.take(exclusive=True)
        except BlockingIOError:
            lock.close()
            raise self._busy("another process is about to freeze it") from None
        return lock

    def lock_using(self, run: str) -> Lock:
        """Held while the point in time of `run` is open somewhere."""
        lock = self._lock(self._user(run))
        lock.take(exclusive=False)  # the exclusive one is only tried, below
        return lock

    def check_unused(self, run: str) -> None:
        """Raises SourceUnavailable where a live process has the point in time of `run` open."""
        lock = self._lock(self._user(run))
        try:
            lock.take(exclusive=True)
        except BlockingIOError:
            raise self._busy(f"run {run} is copying it, and QEMU keeps one point in time of a server at once") from None
        finally:
            lock.close()

    def _user(self, run: str) -> Path:
        return self.folder / f"{self.stem}+{hashlib.sha256(run.encode()).hexdigest()[:12]}.lock"

    def _lock(self, path: Path) -> Lock:
        try:
            return Lock(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            reason = f"the scratch folder cannot be written to: {error.strerror}"
            raise SourceUnavailable(place=str(self.folder), reason=reason) from error

    def _busy(self, reason: str) -> SourceUnavailable:
        return SourceUnavailable(place=self.stem.removeprefix(_names.PREFIX), reason=f"{reason}; a later run may")


class Lock:
    """The kernel lets go of it when the process that holds it dies."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def take(self, *, exclusive: bool) -> None:
        """Raises BlockingIOError."""
        fcntl.flock(self._fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)

    def close(self) -> None:
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
            self._fd = -1
