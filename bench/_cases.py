"""What is measured against what. A case is a pair of commands that do the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench._disks import GIB, MIB, change, dense, sparse
from bench._endpoint import Endpoint
from rehost.transfer import open_partial, plan_copy

Command = Sequence[str | Path]


@dataclass(frozen=True)
class Case:
    name: str
    what: str
    endpoint: Endpoint
    ours: Command
    peer: Command | None = None
    peer_flags: Sequence[Sequence[str]] = ((),)  # the best of these is taken
    peer_runs: int | None = None  # fewer than the others where one takes minutes
    settings: Mapping[str, float | bool] = field(default_factory=dict)
    floor: Command | None = None
    mib: float = 0  # that go over the network


class Workshop:
    """The programs, the endpoints and the disks."""

    def __init__(
        self, folder: Path, python: Path, coldsnap: Path, plain: Endpoint, secure: Endpoint, *, quick: bool
    ) -> None:
        self.folder, self.python, self.coldsnap = folder, python, coldsnap
        self.plain, self.secure = plain, secure
        self.size = (1 if quick else 4) * GIB
        self.manifests = folder / "manifests"
        self.rehost = python.with_name("rehost")
        self.dense = dense(folder / "dense.raw", self.size)
        self.sparse = sparse(folder / "sparse.raw", (16 if quick else 64) * GIB, self.size // 2)
        self.huge = sparse(folder / "huge.raw", 1024 * GIB, 64 * MIB)

    def environment(self, endpoint: Endpoint) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {
            **kept,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_EBS": endpoint.url,
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            **({"AWS_CA_BUNDLE": str(endpoint.ca), "SSL_CERT_FILE": str(endpoint.ca)} if endpoint.secure else {}),
        }

    def cases(self) -> list[Case]:
        near = [["--workers", "8"], ["--workers", "16"], ["--workers", "64"]]
        far = [["--workers", "64"], ["--workers", "256"], ["--workers", "256", "--client-shards", "4"]]
        mib = self.size / MIB
        cases = []
        for endpoint, name in ((self.plain, "plain HTTP"), (self.secure, "TLS")):
            cases.append(
                Case(
                    f"full upload, {name}",
                    f"{mib / 1024:.0f} GiB of random data",
                    endpoint,
                    self._upload(self.dense),
                    self._coldsnap_upload(endpoint, self.dense),
                    near,
                    floor=self._floor(endpoint),
                    mib=mib,
                )
            )
        cases += [
            Case(
                "sparse",
                f"{self.sparse.stat().st_size // GIB} GiB, {mib / 2048:.1f} GiB of it allocated",
                self.plain,
                self._upload(self.sparse),
                self._coldsnap_upload(self.plain, self.sparse),
                peer_runs=1,
                mib=mib / 2,
            ),
            Case("1 TiB sparse", "64 MiB of it allocated", self.plain, self._upload(self.huge), mib=64),
            *self._incremental(),
            self._rescan(0.01),
            *self._downloads(),
        ]
        for latency, endpoint, name in (
            (20, self.plain, "plain HTTP"),
            (80, self.plain, "plain HTTP"),
            (80, self.secure, "TLS"),
        ):
            cases.append(
                Case(
                    f"upload, {latency} ms of latency, {name}",
                    "added to each answer",
                    endpoint,
                    self._upload(self.dense),
                    self._coldsnap_upload(endpoint, self.dense),
                    far,
                    settings={"latency_ms": latency},
                    mib=mib,
                )
            )
        cases.append(
            Case(
                "upload, throttled at 1,000 puts/s",
                "a burst of 100",
                self.plain,
                self._upload(self.dense),
                self._coldsnap_upload(self.plain, self.dense),
                [["--workers", "8"], ["--workers", "64"]],
                settings={"puts_per_second": 1000, "burst": 100},
                mib=mib,
            )
        )
        return cases

    def _upload(self, file: Path, *options: str) -> Command:
        return [self.rehost, "upload", file, "--manifests", self.manifests, *options]

    def _coldsnap_upload(self, endpoint: Endpoint, file: Path) -> Command:
        return [self.coldsnap, "--endpoint", endpoint.url, "upload", "--no-progress", "--omit-zero-blocks", file]

    def _floor(self, endpoint: Endpoint) -> Command:
        ca = [endpoint.ca] if endpoint.secure else []
        return [self.python, "-m", "bench.layers", "socket", endpoint.url, self.dense, "4", *ca]

    def _incremental(self) -> list[Case]:
        def command(share: float) -> Command:
            return [self.python, "-m", "bench.incremental", self.plain.url, self.dense, str(share), self.folder]

        return [
            Case(
                f"{percent} % incremental",
                "64 GiB, changes known; the peer is our own full upload of them",
                self.plain,
                command(percent / 100),
                command(1),
                peer_runs=1,
                mib=64 * 1024 * percent / 100,
            )
            for percent in (1, 10)
        ]

    def _rescan(self, share: float) -> Case:
        """The parent is what was uploaded, and known by its manifest; the file then changed somewhere."""
        changed = self.folder / "changed.raw"
        shutil.copyfile(self.dense, changed)
        blocks = change(changed, share, seed=1)
        return Case(
            "rescan, changes unknown",
            f"{blocks} blocks of {self.size // GIB} GiB differ; coldsnap sends all",
            self.plain,
            self._upload(changed, "--parent", self._known_snapshot(self.dense)),
            [*self._coldsnap_upload(self.plain, changed), "--parent-snapshot-id", "snap-parent"],
            [["--workers", "8"], ["--workers", "16"]],
            mib=blocks / 2,
        )

    def _downloads(self) -> list[Case]:
        near = [["--workers", "8"], ["--workers", "16"], ["--workers", "64"]]
        cases = []
        for endpoint, name in ((self.plain, "plain HTTP"), (self.secure, "TLS")):
            snapshot = endpoint.serve_disk(self.dense)
            target, theirs = self.folder / "restored.raw", self.folder / "downloaded.raw"
            download: Command = [self.coldsnap, "--endpoint", endpoint.url, "download", "--no-progress", "--force"]
            cases.append(
                Case(
                    f"download, {name}",
                    "into a file",
                    endpoint,
                    [self.rehost, "restore", snapshot, target, "--force"],
                    [*download, snapshot, theirs],
                    near,
                    mib=self.size / MIB,
                )
            )
            if endpoint is self.plain:
                verify: Command = [self.python, "-m", "bench.verify", endpoint.url, snapshot, self.manifests]
                self._manifest_of(self.dense, snapshot)
                cases.append(
                    Case("verify", "the peer downloads", endpoint, verify, [*download, snapshot, theirs], near)
                )
        return cases

    def _known_snapshot(self, file: Path) -> str:
        self._manifest_of(file, "snap-known")
        return "snap-known"

    def _manifest_of(self, file: Path, snapshot: str) -> None:
        """The manifest that an upload of the file would have left."""
        from rehost.blocks import BLOCK_SIZE, Extent
        from rehost.pacing import Pause
        from rehost.transfer import copy_disk

        class Disk:
            key, size = "known", file.stat().st_size
            fd = os.open(file, os.O_RDONLY)

            def read_into(self, offset: int, buffer: memoryview) -> int:
                return os.preadv(self.fd, [buffer], offset)

        class Nowhere:
            def put(self, index: int, data: memoryview, digest: bytes, pause: Pause) -> int:
                return 0

        self.manifests.mkdir(exist_ok=True)
        path = self.manifests / f"{snapshot}.manifest"
        disk = Disk()
        with open_partial(path, snapshot_id=snapshot, size=disk.size, parent=None) as partial:
            plan = plan_copy([Extent(0, disk.size // BLOCK_SIZE * BLOCK_SIZE)], partial, full=True)
            copy_disk(disk, Nowhere(), partial, plan)
            partial.finish().close()
        os.close(disk.fd)
