"""What a program of somebody's own may import."""

from __future__ import annotations

import components

PUBLIC = """
Application ApplicationArgs Cutover Estate EstateArgs GroupArgs Ingress Instance LandingZone LandingZoneArgs LandingZoneError
MachineImage Milestone Phase PostLaunch Preflight Readiness ReplicationJob Server ServerArgs Validation Wave WaveArgs WindowArgs
must_be_reviewed variables
"""


def test_the_public_names() -> None:
    assert components.__all__ == PUBLIC.split()
    assert all(hasattr(components, name) for name in components.__all__)
