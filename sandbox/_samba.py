"""Debian's smbd as an ordinary file server of loopback, in a folder of its own: the shares of a Windows host for tests and the demo.

It runs as whoever starts it, root or not, and reads what that user may read: the account of the shares is mapped to that
user. Its end is the end of all its processes: they are a process group, and they leave when whoever started them is gone.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

USER = "rehost"
PASSWORD = "sandbox-secret"

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_SOCKET_PATH = (
    60  # characters of a folder that smbd puts sockets below: sun_path has 107, and its own names take the rest
)
_SYSTEM_PATHS = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin"

#: As a Windows host is set up by someone careful: no SMB before 3.0, nothing without encryption, nobody without an account.
_GLOBAL = {
    "server role": "standalone server",
    "interfaces": "127.0.0.1",
    "bind interfaces only": "yes",
    "hosts allow": "127.0.0.1",
    "disable netbios": "yes",
    "server min protocol": "SMB3_00",
    "server smb encrypt": "required",
    "restrict anonymous": "2",
    "map to guest": "never",
    "load printers": "no",
    "printing": "bsd",
    "printcap name": "/dev/null",
    "disable spoolss": "yes",
    "rpc start on demand helpers": "no",
    "usershare max shares": "0",
    "log level": "1",
    "max log size": "0",
}


class SambaMissing(RuntimeError):
    def __init__(self, program: str) -> None:
        super().__init__(f"{program} is not installed: apt-get install samba")


def samba_program(name: str) -> str:
    """The path of `smbd` or `pdbedit`, which an ordinary user's PATH may lack. Raises SambaMissing."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATHS}")
    if found is None:
        raise SambaMissing(name)
    return found


class Samba:
    """`with Samba(folder, {"VMs": path}) as samba`: `samba.port`, `samba.user`, `samba.password`, `samba.share` (the first one).

    Names of shares and files are found in any case, as on Windows, and a share may be called `C$`. `options` are lines of
    smb.conf's [global], which win over this module's; `share_options` are those of every share. Raises SambaMissing, and
    RuntimeError with what smbd said where it does not come up.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        folder: Path,
        shares: Mapping[str, Path] | None = None,
        *,
        user: str = USER,
        password: str = PASSWORD,
        options: Mapping[str, str] | None = None,
        share_options: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.shares = dict(shares) if shares else {"VMs": folder / "VMs"}
        self.share = next(iter(self.shares))
        self.user, self.password = user, password
        self.options, self.share_options = dict(options or {}), dict(share_options or {})
        self.port = 0
        self.pid = 0
        self._reserved: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._short: str | None = None

    def start(self) -> Self:
        """Start it, or start it again on the port that it had."""
        try:
            self._start(samba_program("smbd"))
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self, smbd: str) -> None:
        self._reserve()
        config = self._configure()
        log = self.folder / "smbd.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [smbd, "--foreground", "--no-process-group", "--debug-stdout", f"--configfile={config}"],
                stdin=subprocess.PIPE,  # whose end it takes for an order to leave: it does not outlive this process
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                message = f"smbd did not start:\n{log.read_text(errors='replace')[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.01)

    def stop(self, *, keep_port: bool = False) -> None:
        """End all of its processes. `keep_port`: `start` will listen where this one did, and nobody else can meanwhile."""
        if (process := self._process) is not None:
            self._process = None
            _signal_group(process.pid, signal.SIGTERM)
            deadline = time.monotonic() + _STOP_SECONDS
            # Not reaped yet, so that the number of the group stays its own until the last signal is sent.
            while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.01)
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        if not keep_port:
            if self._reserved is not None:
                self._reserved.close()
                self._reserved = None
            if self._short is not None:
                shutil.rmtree(self._short, ignore_errors=True)
                self._short = None

    def sessions(self) -> list[int]:
        """The processes that serve a connection each (all connections of one client GUID share one)."""
        connected = _established(self.port)
        return [pid for pid in _members(self.pid) if pid != self.pid and connected & _sockets(pid)]

    def kill_sessions(self) -> int:
        """Cut every connection, as when a host's network or the session on it is lost; how many processes ended."""
        found = self.sessions()
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(_state(pid) not in {b"Z", b""} for pid in found):
            time.sleep(0.001)
        return len(found)

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Every connection that is there stays open, and nothing is answered on it; nor are new ones served."""
        found = [self.pid, *self.sessions()]
        try:
            for pid in found:
                os.kill(pid, signal.SIGSTOP)
            while any(_state(pid) not in {b"T", b"Z", b""} for pid in found):
                time.sleep(0.001)
            yield
        finally:
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def change_password(self, password: str) -> None:
        """For logins from now on."""
        self.password = password
        self._add_account(self.folder / "smb.conf")

    def log(self) -> str:
        """What smbd said so far."""
        return (self.folder / "smbd.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _reserve(self) -> None:
        """Hold a port that the system chose. smbd sets SO_REUSEPORT too, so it can listen there although we hold it."""
        if self._reserved is not None:
            return
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reserved.bind((self.host, 0))
        self.port = int(self._reserved.getsockname()[1])

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex((self.host, self.port)) == 0

    def _configure(self) -> Path:
        """Write smb.conf and the account; its path."""
        config = self.folder / "smb.conf"
        own = self.folder / "own"
        if len(str(own)) > _SOCKET_PATH:
            self._short = self._short or tempfile.mkdtemp(prefix="smb")
            own = Path(self._short)
        for path in (self.folder, own, *self.shares.values()):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = own / "users"
        names.write_text(f'{_account()} = "{self.user}"\n', encoding="utf-8")
        kinds = ("private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir")
        settings = _GLOBAL | dict.fromkeys(kinds, str(own)) | {"ncalrpc dir": str(own / "rpc")}
        settings |= {"smb ports": str(self.port), "username map": str(names)}
        settings |= {"passdb backend": f"tdbsam:{own / 'passdb.tdb'}"} | self.options
        sections = {"global": settings}
        sections |= {
            name: {"path": str(at), "read only": "yes"} | self.share_options for name, at in self.shares.items()
        }
        lines = [line for name, each in sections.items() for line in (f"[{name}]", *map(" = ".join, each.items()))]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        if not (own / "passdb.tdb").exists():
            self._add_account(config)
        return config

    def _add_account(self, config: Path) -> None:
        """With the password on standard input: the arguments of a process are for everybody to see."""
        command = [samba_program("pdbedit"), f"--configfile={config}", f"--user={_account()}"]
        subprocess.run([*command, "--delete"], capture_output=True, stdin=subprocess.DEVNULL)  # where it is there
        secret = f"{self.password}\n{self.password}\n"
        made = subprocess.run(
            [*command, "--create", "--password-from-stdin"], input=secret, capture_output=True, text=True
        )
        if made.returncode != 0:
            message = f"pdbedit did not make the account: {made.stderr.strip()}"
            raise RuntimeError(message)


def _account() -> str:
    """This user's own name: an account of a file server has to be one of the system's, and only root can be another."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        message = f"smbd needs a user with a name, and user number {os.geteuid()} has none in /etc/passwd"
        raise RuntimeError(message) from None


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _stat(pid: int) -> list[bytes]:
    """Its fields from the state on (proc(5)); empty ones where there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return [b"", b"", b""]


def _state(pid: int) -> bytes:
    return _stat(pid)[0]


def _members(group: int) -> list[int]:
    everyone = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in everyone if _stat(pid)[2] == str(group).encode()]


def _sockets(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(each.readlink()))
    return found


def _established(port: int) -> set[str]:
    """`socket:[INODE]` of every connection to a port of 127.0.0.1, at the side that listens: proc(5), /proc/net/tcp."""
    local = f"0100007F:{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {f"socket:[{row[9]}]" for row in rows if row[1] == local and row[3] == "01"}
