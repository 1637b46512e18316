"""Where things stand in this repository, and which versions are pinned."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"

ENGINES = CACHE / "pulumi"
PULUMI_HOME = CACHE / "pulumi-home"

#: Written by the demo where its sandbox is kept: KEY=VALUE lines with the AWS settings that reach it.
DEMO_ENVIRONMENT = ROOT / "build" / "demo" / "env"

COLDSNAP_VERSION = "0.12.0"
COLDSNAP = CACHE / "coldsnap" / COLDSNAP_VERSION / "bin" / "coldsnap"


def sdk_version() -> str:
    """The version of Pulumi's Python SDK that this repository pins, `3.272.0`."""
    text = (ROOT / "requirements" / "runtime.txt").read_text()
    found = re.search(r"^pulumi==([\d.]+)", text, re.MULTILINE)
    if found is None:
        raise LookupError("requirements/runtime.txt pins no pulumi")
    return found.group(1)
