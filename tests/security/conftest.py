from __future__ import annotations

from tests.engine.conftest import project as project
