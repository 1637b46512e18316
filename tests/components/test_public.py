"""What a program of somebody's own may import."""

from __future__ import annotations

import components

PUBLIC = """
Application ApplicationArgs Cutover Estate EstateArgs GroupArgs Instance MachineImage Milestone Phase Preflight Readiness
ReplicationJob Server ServerArgs WindowArgs
"""


def test_the_public_names() -> None:
    assert components.__all__ == PUBLIC.split()
    assert all(hasattr(components, name) for name in components.__all__)
