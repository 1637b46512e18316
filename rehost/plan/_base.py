"""The version of the spec to compare with: a folder, or a commit of the repository that the project lies in."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rehost.plan._errors import BaseUnreadable
from rehost.spec import Estate, check

#: Of a commit: larger files are no specs, and none that a spec takes its user data from.
MAX_FILE = 1 << 20
MAX_FILES = 50_000
_SECONDS = 60


@dataclass(frozen=True)
class Base:
    """`estate` is None where the spec of that version has errors. `folder` is the project as it was; it is gone afterwards."""

    name: str
    folder: Path
    commit: str | None = None
    estate: Estate | None = None
    errors: int = 0
    note: str | None = None

    @property
    def told(self) -> str:
        return f"{self.name} ({self.commit[:12]})" if self.commit else self.name


@contextmanager
def base_of(name: str, project: Path, specs: Path) -> Iterator[Base]:
    """The base called `name`: a folder (a project, or a folder of specs), else anything that Git takes for a commit.

    Of a commit it is the point at which the present branch left it (`git merge-base`): what others merged since is no change of
    this one. Raises BaseUnreadable.
    """
    inside = Path(os.path.relpath(specs.absolute(), project.absolute()))
    if Path(name).is_dir():
        folder = Path(name)
        whole = folder / inside if (folder / inside).is_dir() else folder
        yield _read(Base(name, folder), whole, folder if whole != folder else folder.parent)
        return
    commit, note = _commit(name, project)
    with tempfile.TemporaryDirectory(prefix="rehost-base-") as place:
        _extract(name, commit, project, Path(place))
        if not (Path(place) / inside).is_dir():
            raise BaseUnreadable(base=name, reason=f"it has no folder {inside.as_posix()}")
        yield _read(Base(name, Path(place), commit, note=note), Path(place) / inside, Path(place))


def default_base(project: Path) -> str | None:
    """`origin/HEAD`, where there is a Git repository with it; None where there is none."""
    for name in ("origin/HEAD", "origin/main", "origin/master"):
        if _git(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}") is not None:
            return name
    return None


def _read(base: Base, folder: Path, root: Path) -> Base:
    estate, findings = check(folder, root=root)
    errors = sum(each.is_error for each in findings)
    return Base(base.name, base.folder, base.commit, estate, errors, base.note)


def _commit(name: str, project: Path) -> tuple[str, str | None]:
    if _git(project, "rev-parse", "--git-dir") is None:
        raise BaseUnreadable(base=name, reason=f"there is no such folder, and {project} is in no Git repository")
    found = _git(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found is None:
        raise BaseUnreadable(base=name, reason="neither a folder nor a commit has that name; `git fetch` may be needed")
    shared = _git(project, "merge-base", found, "HEAD")
    if shared is None:
        note = f"Git knows no common ancestor of {name} and the present commit (a shallow clone?): compared with {name} itself"
        return found, note
    return shared, None


def _git(project: Path, *arguments: str) -> str | None:
    """What Git says; None where it refuses, or is not installed."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=project, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _extract(name: str, commit: str, project: Path, place: Path) -> None:
    """The small files of the project's folder at that commit. Links are left out: they might lead anywhere."""
    process = subprocess.Popen(
        ["git", "archive", "--format=tar", commit], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        with process, tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for number, member in enumerate(archive):
                if number >= MAX_FILES:
                    raise BaseUnreadable(base=name, reason=f"it has more than {MAX_FILES} files")
                path = PurePosixPath(member.name)
                content = archive.extractfile(member) if member.isreg() and member.size <= MAX_FILE else None
                if content is None or path.is_absolute() or ".." in path.parts:
                    continue
                target = place / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
    except tarfile.TarError as error:
        raise BaseUnreadable(base=name, reason=f"`git archive` gave no archive: {error}") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
