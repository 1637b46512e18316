"""A Windows host with Hyper-V in this process: what tests start, change and break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from sandbox.hyperv._certificates import Authority, KeyFiles
from sandbox.hyperv._faults import Faults
from sandbox.hyperv._http import Listener
from sandbox.hyperv._login import Accounts
from sandbox.hyperv._runner import runner
from sandbox.hyperv._shells import Quotas
from sandbox.hyperv._winrm import WinRm
from sandbox.hyperv.cmdlets import command_table
from sandbox.hyperv.model import Adapter, Cluster, Disk, Drive, Estate, Machine, Node, make

USER = "administrator"
PASSWORD = "sandbox-secret"
_DEBIAN = {
    "OSName": "Debian GNU/Linux",
    "OSVersion": "12",
    "OSMajorVersion": "6",
    "OSMinorVersion": "1",
    "ProcessorArchitecture": "9",
    "NetworkAddressIPv4": "192.168.0.10",
}


class HyperVHost:
    """`with HyperVHost(folder) as host`: `host.endpoint` ("127.0.0.1:PORT"), `host.ca`, `host.user`, `host.password`.

    Several hosts of one site share the machines: give the second one `site=first`; with `cluster=` they are a failover
    cluster, and `move` is its live migration. `windows`: 2012R2, 2016, 2019, 2022. `vmm`: SCVMM's cmdlets are on it.
    `certificate_for`: names in the server's certificate.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "HV1",
        windows: str = "2022",
        site: HyperVHost | None = None,
        cluster: str = "",
        vmm: bool = False,
        quotas: Quotas | None = None,
        certificate_for: Sequence[str] = ("127.0.0.1", "localhost"),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.user, self.password = f"{name}\\{USER}", PASSWORD
        self.faults: Faults = site.faults if site is not None else Faults()
        self.estate: Estate = site.estate if site is not None else Estate(folder, self.faults)
        self.unsupported: list[str] = []  # what scripts asked for that the stand-in does not know
        self._site = site
        joined: Cluster | None = site.node.cluster if site is not None else Cluster(cluster) if cluster else None
        self.node: Node = Node(name, self.estate, windows, cluster=joined, vmm=vmm)
        if joined is not None:
            joined.nodes.append(self.node)
        self._authority: Authority = site._authority if site is not None else Authority(folder / "tls")
        self.ca = self._authority.file
        users = folder / f"users-{name}"
        users.touch(mode=0o600)
        # An account of the host itself is named with the host's name, with a dot or with nothing before it.
        users.write_text("".join(f"{domain}:{USER}:{PASSWORD}\n" for domain in (name, "", ".")))
        self.accounts = Accounts(users, {f"{USER}@{name.lower()}"})
        run = runner(lambda: command_table(self.node), self.unsupported.append)
        self.winrm = WinRm(lambda user: run, quotas or Quotas(), self.faults, name)
        self.listener = Listener(self.accounts, self.winrm, self.faults, self.ca)
        self.plain = Listener(self.accounts, self.winrm, self.faults, None)
        self._certificate = self._authority.server(*certificate_for)
        self.listener.present(self._certificate)

    @property
    def drive(self) -> Drive:
        """The folder that a share `C$` has."""
        return self.estate.drive

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def http_endpoint(self) -> str:
        """Of the listener for HTTP, where each message is encrypted."""
        return f"127.0.0.1:{self.plain.port}"

    def start(self) -> Self:
        """Listen; after `stop` on the same port, and with no shell left."""
        self.listener.start()
        self.plain.start()
        self.node.up = True
        return self

    def stop(self) -> None:
        """Down, with its connections and shells. Machines stay as they are."""
        self.node.up = False
        self.listener.stop()
        self.plain.stop()

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        self.stop()
        if self._site is None:
            self.estate.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def client_certificate(self, user: str = "") -> KeyFiles:
        """A client's, of the user that the host maps one to, or of another."""
        return self._authority.client(user or f"{USER}@{self.name.lower()}")

    def join(self, environment: Mapping[str, str]) -> None:
        """A realm of Kerberos: variables that name its configuration and the keytab with the host's keys (`Kdc.environment`)."""
        self.accounts.environment = environment

    def impersonate(self, *names: str) -> None:
        """From now on the server shows a certificate of an authority that nobody trusts."""
        other = Authority(self.ca.parent / "other", "somebody else")
        self.listener.present(other.server(*(names or ("127.0.0.1", "localhost"))))

    def add_machine(
        self,
        name: str,
        disks: Sequence[int | Path | Mapping[str, Any]] = (),
        *,
        generation: int = 2,
        services: Mapping[str, tuple[bool, bool]] | None = None,
        guest: bool = False,
        **options: Any,
    ) -> Machine:
        """`disks`: bytes, a raw image, or a mapping with `size` or `raw` and `sector`, `block`, `format` (vhdx, vhd), `fixed`, `shared`,
        `passed` (a disk of the host, which has no file), `controller`, `location`. With `guest` a process will run on the raw
        images, and what it changed there is written into the VHDX when a point in time is taken.
        `services`: by key, (enabled, answers). Other options are attributes of `Machine`.
        """
        volume = "C:\\ClusterStorage\\Volume1" if self.node.cluster is not None else "C:\\VMs"
        options.setdefault("clustered", self.node.cluster is not None)
        options.setdefault("facts", {**_DEBIAN, "FullyQualifiedDomainName": name})
        options.setdefault("adapters", [Adapter("Network Adapter", "00155D000A01")])
        made = Machine(name, self.name, generation=generation, **options)
        for key, (enabled, contact) in (services or {}).items():
            made.services[key].enabled, made.services[key].contact = enabled, contact
        for number, given in enumerate(disks):
            made.disks.append(self._disk(given, number, generation, f"{volume}\\{name}", guest))
        with self.estate.lock:
            self.estate.machines[made.id] = made
        return made

    def _disk(self, given: Any, number: int, generation: int, folder: str, guest: bool) -> Disk:
        settings = dict(given) if isinstance(given, Mapping) else {"raw" if isinstance(given, Path) else "size": given}
        raw: Path | None = settings.get("raw")
        size = raw.stat().st_size if raw is not None and "size" not in settings else settings["size"]
        controller = settings.get("controller", "SCSI" if generation == 2 or number > 3 else "IDE")
        ide = controller == "IDE"
        disk = Disk(
            controller,
            settings.get("controller_number", number // 2 if ide else 0),
            settings.get("location", number % 2 if ide else number),
            size,
            settings.get("sector", 512),
            shared=settings.get("shared", False),
            fixed=settings.get("fixed", False),
            passed=settings.get("passed"),
            block=settings.get("block", 0),
        )
        if disk.passed is None:
            file = settings.get("name", f"disk{number}.{settings.get('format', 'vhdx')}")
            make(self.drive, disk, f"{folder}\\{file}", raw, guest=guest)
        return disk

    def write(self, machine: Machine, disk: int, offset: int, data: bytes) -> None:
        """What a guest does: whole sectors at a byte offset, into the file that is the machine's leaf."""
        with self.estate.lock:
            machine.disks[disk].write(offset, data)

    def attach_guest(self, machine: Machine, pid: int) -> None:
        """The process that writes to the raw images. 0: none."""
        machine.pid = pid

    def move(self, machine: Machine, node: str) -> None:
        """Live migration: the machine is another node's from now on."""
        with self.estate.lock:
            machine.node = node

    def state(self) -> dict[str, Any]:
        """What a test for leaks looks at: `checkpoints`, `references` and `notes` by machine, `merging`, `shells`, `calls`."""
        with self.estate.lock:
            machines = list(self.estate.machines.values())
            return {
                "checkpoints": {machine.name: [each.name for each in machine.checkpoints] for machine in machines},
                "references": {machine.name: [each.id for each in machine.references] for machine in machines},
                "notes": {machine.name: dict(machine.notes) for machine in machines},
                "merging": {machine.name: machine.merging for machine in machines if machine.merging},
                "shells": self.winrm.shells.open_ids(),
                "calls": dict(self.faults.calls),
                "unsupported": list(self.unsupported),
            }
