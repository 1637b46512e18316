"""Each named fault point x each kind of fault; what is seen is what docs/reliability.md says.

`REHOST_WRITE_RELIABILITY=1 python -m pytest tests/reliability -n 0` writes the page anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehost import faults
from rehost.aws import Aws, AwsSettings, RetryPolicy
from rehost.connector import _copy
from rehost.control import ControlPlane
from sandbox import Sandbox
from tests.reliability import page
from tests.reliability.matrix import BLOCKS, FAULTS, IN_FLIGHT, PIECE, Cell, probe

WRITES = os.environ.get("REHOST_WRITE_RELIABILITY") == "1"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def seen() -> Iterator[list[Cell]]:
    """Every cell of the run; at its end the page is written, if that was asked for."""
    cells: list[Cell] = []
    yield cells
    if WRITES and len(cells) == len(faults.POINTS) * len(FAULTS):
        page.write(cells)


@pytest.fixture(scope="module")
def aws(sandbox: Sandbox) -> Iterator[Aws]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "sandbox")
        yield Aws(AwsSettings(region="eu-central-1", endpoint=sandbox.endpoint))


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A control plane without anything in it: copying one is quicker than making its tables."""
    path = tmp_path_factory.mktemp("blank") / "control.db"
    ControlPlane.open(f"sqlite:///{path}").close()
    return path


@pytest.mark.parametrize("point", faults.POINTS)
def test_a_fault_loses_nothing_and_leaves_nothing(
    point: str,
    sandbox: Sandbox,
    aws: Aws,
    blank: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seen: list[Cell],
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "sandbox")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    monkeypatch.setattr(
        RetryPolicy, "pauses", lambda _policy, _pause=None: iter([None] * 5)
    )  # tries of a block, without their pauses
    monkeypatch.setattr(_copy, "PIECE_BLOCKS", PIECE)
    cells = []
    for number, fault in enumerate(FAULTS):
        folder = tmp_path / str(number)
        (folder / "state").mkdir(parents=True)
        shutil.copy(blank, folder / "state" / "control.db")
        cells.append(probe(point, fault, folder, sandbox, aws, monkeypatch))
    seen += cells
    assert [cell.leftovers for cell in cells] == [0] * len(cells)
    for cell in cells:
        # What is sent again is at most the disk, and nothing at all once its copy is whole.
        assert 0 <= cell.sent_again <= (IN_FLIGHT if cell.dies_in_flight else BLOCKS) * _BLOCK
        if faults.POINTS.index(point) > faults.POINTS.index("snapshot-complete"):
            assert cell.sent_again == 0, cell
    if not WRITES:
        committed = page.rows()
        assert [committed.get((cell.point, cell.fault)) for cell in cells] == [cell.row() for cell in cells], (
            "docs/reliability.md says something else: see the head of this file"
        )


_BLOCK = 512 * 1024


def test_each_point_stands_in_the_code_once() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rehost").rglob("*.py"))
    assert {name: text.count(f'faults.point("{name}")') for name in faults.POINTS} == dict.fromkeys(faults.POINTS, 1)


@pytest.mark.skipif(WRITES, reason="the page is being written")
def test_the_page_has_each_cell_and_no_other() -> None:
    assert list(page.rows()) == [(point, fault) for point in faults.POINTS for fault in FAULTS]
