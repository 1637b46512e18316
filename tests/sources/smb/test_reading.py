"""A file over SMB is a `ByteSource`: whatever is read is what the file has, and nobody at the server notices."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import smbclient

from rehost.sources import DiskUnreadable, ReadFailed
from rehost.sources.smb import SmbFile, SmbFiles
from sandbox import Samba
from tests.sources.smb.servers import Servers, unc

MIB = 1 << 20


def read(file: SmbFile, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    got = file.read_into(offset, memoryview(buffer))
    return bytes(buffer[:got])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"server max protocol": "SMB3_00"},
        {"server max protocol": "SMB3_02"},
        {"server smb3 encryption algorithms": "AES-256-GCM"},
        {"server smb3 encryption algorithms": "AES-256-CCM"},
        {"server smb3 encryption algorithms": "AES-128-CCM"},
        {"smb2 max read": "65536"},
        {"smb2 max credits": "128", "smb2 max read": "1048576"},
    ],
    ids=lambda options: " ".join(options.values()) or "as it is",
)
def test_every_dialect_and_cipher_reads_the_same(servers: Servers, options: dict[str, str]) -> None:
    content = os.urandom(3 * MIB + 12345)
    servers.file("a.vhdx", content)
    file = servers.files(servers.samba(options=options)).open(unc("a.vhdx"))
    assert file.size == len(content)
    assert read(file, 0, len(content)) == content
    assert read(file, 1 * MIB - 3, 2 * MIB) == content[MIB - 3 : 3 * MIB - 3]


def test_short_reads_are_at_the_end_alone(servers: Servers) -> None:
    content = os.urandom(MIB + 512)
    servers.file("a.vhdx", content)
    servers.file("empty.vhdx", b"")
    files = servers.files(servers.samba())
    with files.open(unc("a.vhdx")) as file:
        assert read(file, MIB, 4 * MIB) == content[MIB:]
        assert read(file, MIB + 511, 512) == content[-1:]
        assert read(file, MIB + 512, 512) == read(file, 1 << 50, 512) == b""
        assert read(file, 0, 0) == b""
    with files.open(unc("empty.vhdx")) as file:
        assert file.size == 0
        assert read(file, 0, 512) == b""


def test_many_threads_read_at_once(servers: Servers) -> None:
    content = os.urandom(16 * MIB)
    servers.file("a.vhdx", content)
    samba = servers.samba()
    file = servers.files(samba, connections=3).open(unc("a.vhdx"))
    assert len(samba.sessions()) == 1
    dice = random.Random(7)
    spans = [(dice.randrange(len(content)), dice.choice([1, 4096, 65537, MIB, 5 * MIB])) for _ in range(200)]

    def right(span: tuple[int, int]) -> bool:
        return read(file, *span) == content[span[0] : sum(span)]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, spans))
    assert 1 < len(samba.sessions()) <= 3


def test_a_file_beyond_4_gib(servers: Servers) -> None:
    path = servers.file("large.vhdx", b"first")
    with path.open("r+b") as file:
        file.seek(5 << 30)
        file.write(b"beyond")
        file.truncate(6 << 30)
    with servers.files(servers.samba()).open(unc("large.vhdx")) as opened:
        assert opened.size == 6 << 30
        assert read(opened, (5 << 30) - 4, 12) == b"\0\0\0\0beyond\0\0"
        assert read(opened, (6 << 30) - 2, 12) == b"\0\0"


@pytest.mark.parametrize(
    "path",
    [
        r"\\hv1\VMs\Wérk 服务器\Dísk α.vhdx",
        r"\\HV1\vms\WÉRK 服务器\dÍSK Α.VHDX",
        "//hv1/VMS/wérk 服务器/./x/../Dísk α.vhdx",
        r"\\?\UNC\hv1\VMs\Wérk 服务器\Dísk α.vhdx",
    ],
)
def test_names_are_found_as_on_windows(servers: Servers, path: str) -> None:
    servers.file("Wérk 服务器/Dísk α.vhdx", b"found")
    with servers.files(servers.samba()).open(path) as file:
        assert read(file, 0, 5) == b"found"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a.vhdx", "is written"),
        (r"C:\VMs\a.vhdx", "is written"),
        (r"\\hv1\VMs", "is written"),
        (r"\\hv1\VMs\..\a.vhdx", "leads out"),
        (r"\\hv1\VMs\x\..\..\a.vhdx", "leads out"),
        (r"\\hv1\VMs\a.vhdx:stream", "no file names with"),
        ("\\\\hv1\\VMs\\a\0.vhdx", "no file names with"),
    ],
)
def test_a_path_that_is_none(path: str, said: str) -> None:
    from rehost.sources.smb import SmbCredentials

    with SmbFiles("127.0.0.1", SmbCredentials("a", "b"), port=1) as files, pytest.raises(DiskUnreadable, match=said):
        files.open(path)


class Neighbour:
    """Another program at the server: smbprotocol's own client."""

    def __init__(self, samba: Samba) -> None:
        self.path = rf"\\{samba.host}\VMs"
        self.cache: dict[str, object] = {}
        self.options = {
            "port": samba.port,
            "connection_cache": self.cache,
            "username": samba.user,
            "password": samba.password,
        }

    def close(self) -> None:
        smbclient.reset_connection_cache(connection_cache=self.cache)

    def open(self, name: str, share: str | None, mode: str = "rb") -> object:
        return smbclient.open_file(rf"{self.path}\{name}", mode=mode, share_access=share, buffering=0, **self.options)


def test_nobody_is_disturbed_while_it_is_open(servers: Servers) -> None:
    content = os.urandom(MIB)
    servers.file("a.vhdx", content)
    samba = servers.samba(share_options={"read only": "no"})
    neighbour = Neighbour(samba)
    file = servers.files(samba).open(unc("a.vhdx"))
    writing = neighbour.open("a.vhdx", "rwd", "r+b")
    writing.close()  # type: ignore[attr-defined]
    smbclient.rename(rf"{neighbour.path}\a.vhdx", rf"{neighbour.path}\b.vhdx", **neighbour.options)
    assert read(file, 0, MIB) == content
    smbclient.remove(rf"{neighbour.path}\b.vhdx", **neighbour.options)
    file.close()
    assert not (servers.served / "b.vhdx").exists()
    neighbour.close()


def test_close_lets_go_on_every_connection(servers: Servers) -> None:
    """Hyper-V opens a file for itself alone when it merges a checkpoint."""
    content = os.urandom(4 * MIB)
    servers.file("a.vhdx", content)
    samba = servers.samba()
    neighbour = Neighbour(samba)
    files = servers.files(samba)
    file = files.open(unc("a.vhdx"))
    with ThreadPoolExecutor(4) as pool:
        assert b"".join(pool.map(lambda at: read(file, at * MIB, MIB), range(4))) == content
    file.close()
    file.close()
    alone = neighbour.open("a.vhdx", None)
    with pytest.raises(DiskUnreadable, match="STATUS_SHARING_VIOLATION"):
        files.open(unc("a.vhdx"))
    alone.close()  # type: ignore[attr-defined]
    files.open(unc("a.vhdx"))
    with pytest.raises(ReadFailed, match="was closed"):
        read(file, 0, 1)
    neighbour.close()
