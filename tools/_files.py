"""Files that survive an interruption: locks, stamps, and directories that appear whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock on `path`; `on_wait` is called once if it must be waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A new directory that becomes `target` at once when the block succeeds, and is removed when it does not.

    What an earlier, killed attempt left beside `target` is removed first: so hold a lock around it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".new-{target.name}-"
    for left in target.parent.glob(f"{prefix}*"):
        shutil.rmtree(left)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
    try:
        yield scratch
        scratch.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def digest(*parts: str | bytes | Path) -> str:
    """A hash over strings and the contents of files; a file that is missing counts as such."""
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            content = part.read_bytes() if part.is_file() else b"\0missing"
        else:
            content = part.encode() if isinstance(part, str) else part
        whole.update(len(content).to_bytes(8, "big") + content)
    return whole.hexdigest()


def read_stamp(path: Path) -> dict[str, str]:
    """The stamp at `path`; empty where there is none, or it was cut short."""
    try:
        stamp = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in stamp.items()} if isinstance(stamp, dict) else {}


def write_stamp(path: Path, stamp: Mapping[str, str]) -> None:
    """Replace the stamp at `path` at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(stamp, indent=1, sort_keys=True) + "\n")
    fresh.replace(path)
