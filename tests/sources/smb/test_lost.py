"""Sessions that are lost: read on where the file is still the same, say so where it is not, and never wait for ever."""

from __future__ import annotations

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rehost.sources import CredentialsRefused, DiskMissing, ReadFailed, SourceChanged, SourceUnavailable
from rehost.sources.smb import SmbCredentials, SmbFile, SmbFiles
from sandbox import Samba
from tests.sources.smb.servers import Servers, unc

MIB = 1 << 20


def read(file: SmbFile, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    got = file.read_into(offset, memoryview(buffer))
    return bytes(buffer[:got])


def test_sessions_lost_in_the_middle_of_parallel_reads(servers: Servers) -> None:
    content = os.urandom(32 * MIB)
    servers.file("a.vhdx", content)
    samba = servers.samba()
    file = servers.files(samba).open(unc("a.vhdx"))
    done = threading.Semaphore(0)

    def right(at: int) -> bool:
        try:
            return read(file, at, 512 << 10) == content[at : at + (512 << 10)]
        finally:
            done.release()

    killed = 0
    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(right, at * (512 << 10)) for _ in range(4) for at in range(64)]
        for _ in range(4):
            for _ in range(40):
                done.acquire()
            killed += samba.kill_sessions()
        assert all(each.result() for each in reads)
    assert killed >= 4


def test_a_server_that_starts_again(servers: Servers) -> None:
    servers.file("a.vhdx", b"x" * 5000)
    samba = servers.samba()
    files = servers.files(samba)
    file = files.open(unc("a.vhdx"))
    samba.stop(keep_port=True)
    again = threading.Timer(0.3, samba.start)
    again.start()
    assert read(file, 4000, 5000) == b"x" * 1000
    again.join()
    samba.stop(keep_port=True)
    samba.start()
    assert files.open(unc("a.vhdx")).size == 5000


def test_a_server_that_stays_away(servers: Servers) -> None:
    servers.file("a.vhdx", b"x" * 5000)
    samba = servers.samba()
    file = servers.files(samba, patience=0.3).open(unc("a.vhdx"))
    samba.stop(keep_port=True)
    with pytest.raises(ReadFailed, match=r"reading at byte 512 failed: .*hv1.*refused") as failed:
        read(file, 512, 512)
    assert failed.value.retryable
    samba.start()
    assert read(file, 512, 512) == b"x" * 512


def _replace(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(path.read_bytes())
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.replace(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_replace, "another file is there now"),
        (lambda path: os.utime(path, (1, 1)), "or it was written to"),
        (lambda path: os.truncate(path, 512), "another file is there now"),
        (Path.unlink, "it was removed or renamed"),
        (lambda path: path.parent.rename(path.parent.with_name("elsewhere")), "it was removed or renamed"),
    ],
    ids=["replaced", "written", "shorter", "removed", "folder renamed"],
)
def test_a_file_that_changed_while_the_session_was_away(servers: Servers, change: object, said: str) -> None:
    path = servers.file("vm/a.vhdx", b"x" * 5000)
    samba = servers.samba()
    file = servers.files(samba).open(unc(r"vm\a.vhdx"))
    assert read(file, 0, 4) == b"xxxx"
    # Not by kill_sessions: smbd goes on telling the times of a file that one of its processes was killed with.
    samba.stop(keep_port=True)
    assert callable(change)
    change(path)
    samba.start()
    with pytest.raises(SourceChanged, match=said):
        read(file, 0, 4)
    with pytest.raises(SourceChanged, match=said):  # and it stays so
        read(file, 0, 4)


def test_a_file_that_becomes_shorter_under_the_reader(servers: Servers) -> None:
    path = servers.file("a.vhdx", b"x" * 5000)
    file = servers.files(servers.samba()).open(unc("a.vhdx"))
    os.truncate(path, 512)
    with pytest.raises(SourceChanged, match="it has become shorter"):
        read(file, 0, 5000)
    with pytest.raises(SourceChanged, match="it has become shorter"):
        read(file, 4000, 1000)


def test_a_removed_file_is_read_on_while_the_session_lasts(servers: Servers) -> None:
    path = servers.file("a.vhdx", b"x" * 5000)
    files = servers.files(servers.samba())
    file = files.open(unc("a.vhdx"))
    path.unlink()
    assert read(file, 0, 5000) == b"x" * 5000
    with pytest.raises(DiskMissing):
        files.open(unc("a.vhdx"))


def test_a_server_that_hangs(servers: Servers) -> None:
    servers.file("a.vhdx", b"x" * 5000)
    samba = servers.samba()
    files = servers.files(samba, timeout=0.4, patience=0.4)
    file, other = files.open(unc("a.vhdx")), files.open(unc("a.vhdx"))
    with samba.hanging():
        began = time.monotonic()
        with pytest.raises(ReadFailed, match="did not answer"):
            read(file, 0, 512)
        with pytest.raises(SourceUnavailable, match=r"did not answer within 0\.4 s"):
            servers.files(samba, timeout=0.4).open(unc("a.vhdx"))
        assert time.monotonic() - began < 4
    assert read(file, 0, 512) == b"x" * 512
    with samba.hanging():
        began = time.monotonic()
        other.close()
        file.close()
        files.close()
        assert time.monotonic() - began < 3


def test_close_wakes_up_whoever_reads(servers: Servers) -> None:
    servers.file("a.vhdx", b"x" * 5000)
    samba = servers.samba()
    files = servers.files(samba, timeout=60, patience=60)
    file = files.open(unc("a.vhdx"))
    with samba.hanging(), ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read, file, 0, 512)
        while not _has_unread(samba):
            time.sleep(0.001)
        files.close()
        with pytest.raises(ReadFailed, match="closed"):
            reading.result(timeout=10)


def _has_unread(samba: Samba) -> bool:
    """Whether a request waits at the server's side of a connection: proc(5), rx_queue of /proc/net/tcp."""
    local = f"0100007F:{samba.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1] == local and row[3] == "01" and int(row[4].partition(":")[2], 16) > 0 for row in rows)


def test_a_password_that_changes_under_the_reader_is_tried_once(servers: Servers) -> None:
    """More attempts would lock the account."""
    servers.file("a.vhdx", b"x" * (4 * MIB))
    samba = servers.samba(options={"log level": "1 auth_audit:2"})
    files = servers.files(samba)
    file = files.open(unc("a.vhdx"))
    samba.change_password("another")
    samba.kill_sessions()

    def refused(at: int) -> bool:
        with pytest.raises(CredentialsRefused, match="hv1"):
            read(file, at, 512)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(refused, range(0, 4 * MIB, MIB)))
    with pytest.raises(CredentialsRefused):
        files.open(unc("a.vhdx"))
    assert samba.log().count("NT_STATUS_WRONG_PASSWORD") == 1


def test_a_host_without_an_smb_server(servers: Servers) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        files = SmbFiles("127.0.0.1", SmbCredentials("a", "b"), port=port, timeout=0.3, place="hv1")
        with pytest.raises(SourceUnavailable, match=r"hv1 cannot be used: .*refused"):
            files.open(unc("a.vhdx"))
        silent.listen()
        with pytest.raises(SourceUnavailable, match="did not answer within"):
            files.open(unc("a.vhdx"))
        files.close()
