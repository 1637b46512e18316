"""ext4 file systems inside disk images, made and changed by e2fsprogs without mounting anything.

`debugfs` writes the files one by one in our order, rather than `mke2fs -d` in the order in which the host's file system
lists them, and gives every inode root as its owner and the same times: so the same content makes the same bytes.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sandbox.machines import _partitions, _tools
from sandbox.machines._errors import NoSuchFileSystem, ToolFailed

_MAGIC_OFFSET = 1024 + 56  # of the superblock's magic number, from the file system's start
_MAGIC = b"\x53\xef"


@dataclass(frozen=True)
class Tree:
    """What a file system is to hold, by absolute path."""

    directories: Sequence[str] = ()
    files: Mapping[str, Path | bytes] = field(default_factory=dict)
    executables: Mapping[str, Path | bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


def make(disk: Path, tree: Tree, *, offset: int, length: int, label: str, uuid: str) -> None:
    """Make an ext4 file system of `length` bytes at `offset` of the image and fill it. Raises `ToolFailed`."""
    options = f"offset={offset},lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0,hash_seed={uuid}"
    arguments = ["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-L", label, "-U", uuid]
    # A small inode table: what one changed file touches stays within a block or two of 512 KiB.
    arguments += ["-N", "2048", "-J", "size=8", "-E", options, disk.name, f"{length // 1024}k"]
    _tools.run("mke2fs", *arguments, subject=disk.name, cwd=disk.parent)
    with tempfile.TemporaryDirectory(prefix="rehost-ext4-") as scratch:
        _debugfs(disk, offset, _commands(tree, Path(scratch)))


def write_file(disk: Path, path: str, content: str | bytes) -> None:
    """Write (or replace) one small file of the ext4 file system of a disk, as its guest would have, without root.

    The file system is the first Linux partition's, or the whole disk's where it has no partition table. Raises
    `NoSuchFileSystem` or `ToolFailed` (then the file may be missing; a retry is safe).
    """
    data = content.encode() if isinstance(content, str) else content
    offset = _find(disk)
    with tempfile.TemporaryDirectory(prefix="rehost-ext4-") as scratch:
        source = Path(scratch) / "content"
        source.write_bytes(data)
        commands = [*([f'rm "{path}"'] if _exists(disk, offset, path) else []), *_write(path, source, 0o644)]
        _debugfs(disk, offset, commands)


def read_file(disk: Path, path: str) -> bytes:
    """The content of one file of a disk's ext4 file system; empty where there is none. Raises `NoSuchFileSystem`."""
    offset = _find(disk)
    done = subprocess.run(
        [_tools.find("debugfs"), "-R", f'cat "{path}"', f"{disk.name}?offset={offset}"],
        cwd=disk.parent,
        env=_tools.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return done.stdout


def _find(disk: Path) -> int:
    offsets = [part.offset for part in _partitions.read(disk) if part.type == _partitions.LINUX] or [0]
    with open(disk, "rb") as handle:
        handle.seek(offsets[0] + _MAGIC_OFFSET)
        if handle.read(2) != _MAGIC:
            raise NoSuchFileSystem(disk=disk)
    return offsets[0]


def _exists(disk: Path, offset: int, path: str) -> bool:
    # debugfs reports a missing file on stderr and succeeds.
    return "Inode:" in _tools.run(
        "debugfs", "-R", f'stat "{path}"', f"{disk.name}?offset={offset}", subject=disk.name, cwd=disk.parent
    )


def _commands(tree: Tree, scratch: Path) -> list[str]:
    commands: list[str] = []
    contents = [(path, content, 0o644) for path, content in tree.files.items()]
    contents += [(path, content, 0o755) for path, content in tree.executables.items()]
    for path in sorted(_parents([*tree.directories, *tree.links, *(path for path, _, _ in contents)], tree)):
        commands += [f'mkdir "{path}"']
    for number, (path, content, mode) in enumerate(sorted(contents, key=lambda each: each[0])):
        if isinstance(content, bytes):
            source = scratch / f"{number}"
            source.write_bytes(content)
        else:
            source = content
        commands += _write(path, source, mode)
    return commands + [f'symlink "{path}" "{target}"' for path, target in sorted(tree.links.items())]


def _parents(paths: Sequence[str], tree: Tree) -> set[str]:
    found = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    return (found | set(tree.directories)) - {"/"}


def _write(path: str, source: Path, mode: int) -> list[str]:
    return [
        f'write "{source}" "{path}"',
        f'set_inode_field "{path}" mode 0100{mode:o}',
        *(f'set_inode_field "{path}" {name} 0' for name in ("uid", "gid")),
    ]


def _debugfs(disk: Path, offset: int, commands: Sequence[str]) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="rehost-debugfs-", suffix=".txt") as script:
        script.write("\n".join(commands) + "\n")
        script.flush()
        done = subprocess.run(
            # Through the directory, so that no character of the path is taken for the start of `?offset`.
            [_tools.find("debugfs"), "-w", "-f", script.name, f"{disk.name}?offset={offset}"],
            cwd=disk.parent,
            env=_tools.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    # debugfs exits 0 whatever its commands did; only its banner belongs on stderr.
    complaints = [line for line in done.stderr.splitlines() if line and not line.startswith("debugfs ")]
    if done.returncode != 0 or complaints:
        raise ToolFailed(tool="debugfs", subject=disk.name, detail="; ".join(complaints[:3]) or "it gave up")
