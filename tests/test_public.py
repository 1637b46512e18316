"""What `import rehost` has, and that it costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rehost
from rehost import spec


def test_the_public_names() -> None:
    assert sorted(rehost.__all__) == sorted([*spec.__all__, "__version__"])
    assert all(getattr(rehost, name) is getattr(spec, name) for name in spec.__all__)
    assert set(rehost.__all__) <= set(dir(rehost))
    with pytest.raises(AttributeError, match="has no attribute 'laod'"):
        _ = rehost.laod  # type: ignore[attr-defined]


def test_nothing_is_imported_before_it_is_used() -> None:
    program = "import sys, rehost; assert 'rehost.spec' not in sys.modules, 1; rehost.Estate; assert 'rehost.spec' in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
