"""What a program of somebody's own may import."""

from __future__ import annotations

import components

PUBLIC = """
Application ApplicationArgs Estate EstateArgs GroupArgs Instance MachineImage PostLaunch Readiness ReplicationJob Server ServerArgs Validation
"""


def test_the_public_names() -> None:
    assert components.__all__ == PUBLIC.split()
    assert all(hasattr(components, name) for name in components.__all__)
