"""What the shop's scenario can be held to without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehost.spec import load
from sandbox.machines import SHOP
from tools import demo_shop
from tools.demo_shop import shortened

_PREVIEW = """\
Previewing update (demo):
  pulumi:pulumi:Stack: (same)
    [urn=urn:pulumi:demo::rehost::pulumi:pulumi:Stack::rehost-demo]
    ~ pulumi-python:dynamic/rehost:Phase: (update)
        [id=demo/shop]
        [urn=urn:pulumi:demo::rehost::x$pulumi-python:dynamic/rehost:Phase::shop]
      ~ phase: "replicate" => "test"
    +-pulumi-python:dynamic/rehost:Instance: (replace)
        [urn=urn:pulumi:demo::rehost::x$pulumi-python:dynamic/rehost:Instance::db-01]
      ~ imageId: "ami-1" => [unknown]
Resources:
    ~ 1 to update
"""


def test_a_shortened_preview_names_what_changes() -> None:
    assert shortened(_PREVIEW) == [
        "    ~ rehost:Phase: (update) shop",
        '      ~ phase: "replicate" => "test"',
        "    +-rehost:Instance: (replace) db-01",
        "    ~ 1 to update",
    ]


@pytest.mark.parametrize("phase", ["replicate", "test", "cutover", "complete"])
@pytest.mark.parametrize("release", [False, True])
def test_its_spec_is_one_in_every_phase(tmp_path: Path, phase: str, release: bool) -> None:
    values = {"subnet": "subnet-0123456789abcdef0"}
    for name, tier in SHOP.items():
        short = name.partition("-")[0]
        values |= {short: "sg-0123456789abcdef0", f"{short}_address": tier.address, f"{short}_port": str(tier.port)}
    text = demo_shop._SPEC.format(**values)
    assert text.endswith(demo_shop._PLAIN)
    if release:
        text = text.replace(demo_shop._PLAIN, demo_shop._RELEASE)
    (tmp_path / "estate.yaml").write_text(text.replace("phase: replicate", f"phase: {phase}"))
    application = load(tmp_path).applications["shop"]
    assert application.phase == phase
    assert [check.name for check in application.validation["web"]] == (["http", "release"] if release else ["http"])
    assert [server for group in application.groups for server in group.servers] == list(SHOP)
