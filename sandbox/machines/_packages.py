"""Debian packages without root: downloaded with an apt state of our own, and unpacked only as far as needed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.machines import _tools
from sandbox.machines._errors import MachineError, PackageUnavailable, ToolFailed

Progress = Callable[[str], None]

#: A mirror that does not answer is given up after this many seconds, and asked once.
_NETWORK = ("-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20", "-o", "Acquire::Retries=1")


class Packages:
    """Where the files of packages stand: the system itself for those installed, `cache` for the rest.

    Safe to use from several processes at once: one of them downloads, the others wait for it.
    """

    def __init__(self, cache: Path, on_progress: Progress) -> None:
        self._cache = cache
        self._on_progress = on_progress

    def root_of(self, package: str, wanted: str) -> Path:
        """The directory below which the package's files stand at their usual paths, `/` where it is installed.

        `wanted` is a regular expression; of a package that is downloaded, only files whose path matches are kept.
        Raises `PackageUnavailable`; a retry is safe and continues where this ended.
        """
        if _installed(package):
            return Path("/")
        return self._downloaded(package, re.compile(wanted))

    def newest(self, package: str, dependency: str) -> str:
        """The package matching the regular expression `dependency` on which the metapackage `package` depends."""
        pattern = re.compile(dependency)
        if kept := sorted(path.name for path in self._cache.glob("*") if pattern.fullmatch(path.name)):
            return kept[-1]
        with self._locked():
            for options in self._states():
                output = self._apt("apt-cache", *options, "depends", package)
                if found := pattern.search(output):
                    return found.group()
        raise PackageUnavailable(package=package, detail="this system's apt sources do not list it")

    def _downloaded(self, package: str, wanted: re.Pattern[str]) -> Path:
        target = self._cache / package
        if target.is_dir():
            return target
        with self._locked():
            if not target.is_dir():
                with tempfile.TemporaryDirectory(dir=self._cache, prefix=".fetch-") as scratch:
                    unpacked = Path(scratch) / "files"
                    unpack(self._download(package, Path(scratch)), unpacked, wanted)
                    unpacked.rename(target)
        return target

    def _download(self, package: str, folder: Path) -> Path:
        self._on_progress(f"fetching the Debian package {package}")
        for options in self._states():
            self._apt("apt-get", *options, *_NETWORK, "download", package, cwd=folder)
            if found := sorted(folder.glob("*.deb")):
                return found[0]
        raise PackageUnavailable(package=package, detail="apt-get download brought nothing")

    def _states(self) -> Iterator[list[str]]:
        """apt's options: first with the system's package lists, then with lists of our own that are brought up to date.

        The system's are missing in a slim container, and may name versions that the mirror no longer has.
        """
        # root's downloads are given to the user _apt, who cannot write here; elsewhere the option has no effect.
        sandbox = ["-o", "APT::Sandbox::User=root"]
        yield sandbox
        private = self._cache / ".apt"
        for part in ("state/lists/partial", "cache/archives/partial"):
            (private / part).mkdir(parents=True, exist_ok=True)
        options = [*sandbox, "-o", f"Dir::State={private / 'state'}", "-o", f"Dir::Cache={private / 'cache'}"]
        options += ["-o", "Dir::State::status=/var/lib/dpkg/status"]
        self._on_progress("fetching Debian's package lists")
        self._apt("apt-get", *options, *_NETWORK, "update")
        yield options

    @staticmethod
    def _apt(tool: str, *arguments: str, cwd: Path | None = None) -> str:
        try:
            return _tools.run(tool, "-q", *arguments, subject=arguments[-1], cwd=cwd)
        except ToolFailed:
            return ""  # the next state is tried; the caller raises when all have been

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._cache.mkdir(parents=True, exist_ok=True)
        with open(self._cache / ".lock", "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def unpack(package: Path, target: Path, wanted: re.Pattern[str]) -> None:
    """Write the regular files of a .deb whose path (without the leading `./`) matches `wanted` below `target`.

    Neither owners nor device nodes are restored, so it needs no root. Raises `ToolFailed`.
    """
    with subprocess.Popen(
        [_tools.find("dpkg-deb"), "--fsys-tarfile", package],
        env=_tools.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    path = os.path.normpath(member.name)
                    content = archive.extractfile(member) if member.isreg() and wanted.fullmatch(path) else None
                    if content is None or path.startswith(("/", "..")):
                        continue
                    file = target / path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    with open(file, "wb") as output:
                        shutil.copyfileobj(content, output)
                    file.chmod(0o755 if member.mode & 0o100 else 0o644)
        except tarfile.TarError as error:
            raise ToolFailed(tool="dpkg-deb", subject=package.name, detail=str(error)) from error
        finally:
            process.stdout and process.stdout.close()
    if not target.is_dir():
        raise ToolFailed(tool="dpkg-deb", subject=package.name, detail=f"it has no file like {wanted.pattern}")


def _installed(package: str) -> bool:
    try:
        status = _tools.run("dpkg-query", "-W", "-f", "${db:Status-Status}", package, subject=package)
    except MachineError:
        return False
    return status.strip() == "installed"
