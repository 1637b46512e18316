"""MIT's KDC as the domain controller of a stand-in: a realm, a user, the service of a host; the clock as it is or another."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

REALM = "REHOST.TEST"
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_PACKAGES = {
    "krb5kdc": "krb5-kdc",
    "kdb5_util": "krb5-kdc",
    "kadmin.local": "krb5-admin-server",
    "faketime": "faketime",
}
_START_SECONDS = 20.0


class KdcMissing(RuntimeError):
    def __init__(self, program: str) -> None:
        super().__init__(f"{program} is not installed: apt-get install {_PACKAGES[program]}")


def kdc_program(name: str) -> str:
    """Raises KdcMissing, which says what Debian's package is."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise KdcMissing(name)
    return found


class Kdc:
    """`with Kdc(folder, users={"rehost": "secret"}, services=["host/localhost"]) as kdc`: `kdc.environment` is for both sides.

    `ahead`: seconds that its clock is ahead of this machine's, or behind it. `keytab` has the services' keys, as a Windows host has its own.
    """

    def __init__(self, folder: Path, *, users: Mapping[str, str], services: Sequence[str], ahead: int = 0) -> None:
        self.folder = folder
        self.ahead = ahead
        self.keytab = folder / "host.keytab"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._configure()
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "sandbox-master")
        for name, password in users.items():
            self._admin(f"addprinc +requires_preauth -pw {password} {name}")
        for name in services:
            self._admin(f"addprinc -randkey {name}")
            self._admin(f"ktadd -k {self.keytab} {name}")

    @property
    def environment(self) -> Mapping[str, str]:
        """Where both sides find the realm; the host's side has its keytab, the client's a cache of tickets of its own."""
        return {
            "KRB5_CONFIG": str(self.folder / "krb5.conf"),
            "KRB5_KTNAME": f"FILE:{self.keytab}",
            "KRB5CCNAME": f"FILE:{self.folder / 'tickets'}",
            "KRB5RCACHENAME": "none:",
        }

    def start(self) -> Self:
        command = [kdc_program("krb5kdc"), "-n"]
        if self.ahead:
            command = [kdc_program("faketime"), "-f", f"{self.ahead:+d}s", *command]
        with (self.folder / "kdc.log").open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **self._own_environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # faketime has it as a child: both end by their group
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                message = f"krb5kdc did not start:\n{(self.folder / 'kdc.log').read_text(errors='replace')[-2000:]}"
                self.stop()
                raise RuntimeError(message)
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(timeout=20)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _own_environment(self) -> Mapping[str, str]:
        return {"KRB5_CONFIG": str(self.folder / "krb5.conf"), "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf")}

    def _configure(self) -> None:
        at = f"127.0.0.1:{self.port}"
        (self.folder / "krb5.conf").write_text(
            f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n"
            ' dns_canonicalize_hostname = false\n rdns = false\n qualify_shortname = ""\n udp_preference_limit = 1\n'
            f"[realms]\n {REALM} = {{\n  kdc = {at}\n }}\n"
            f"[domain_realm]\n localhost = {REALM}\n 127.0.0.1 = {REALM}\n"
        )
        (self.folder / "kdc.conf").write_text(
            f"[kdcdefaults]\n kdc_listen = {at}\n kdc_tcp_listen = {at}\n"
            f"[realms]\n {REALM} = {{\n  database_name = {self.folder}/principal\n  key_stash_file = {self.folder}/stash\n"
            f"  acl_file = {self.folder}/acl\n }}\n"
        )

    def _admin(self, query: str) -> None:
        # By standard input: arguments are for everybody to see, and a password is among these.
        self._run("kadmin.local", "-r", REALM, told=query)

    def _run(self, program: str, *arguments: str, told: str = "") -> None:
        done = subprocess.run(
            [kdc_program(program), *arguments],
            env={**os.environ, **self._own_environment()},
            capture_output=True,
            input=f"{told}\n".encode(),
            check=False,
        )
        if done.returncode:
            message = f"{program}: {done.stderr.decode(errors='replace').strip()}"
            raise RuntimeError(message)
