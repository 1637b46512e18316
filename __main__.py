"""The Pulumi program: the estate that the spec declares becomes resources. `pulumi preview` says what that means."""

from __future__ import annotations

from pathlib import Path

import pulumi

from components import Estate, EstateArgs, must_be_reviewed, variables
from rehost import spec

config = pulumi.Config()
root = Path.cwd()
try:
    estate = spec.load(root / (config.get("specs") or "migration_specs"), root=root, variables=variables())
except spec.SpecErrors as errors:
    message = f"the spec is wrong; nothing was changed:\n{errors}"
    raise pulumi.RunError(message) from None

must_be_reviewed(estate, root / ".rehost")

wait = config.get("await") or "image"
if wait not in ("image", "accepted"):
    message = f"rehost:await is {wait!r}; it can be image (wait for the first images) or accepted"
    raise pulumi.RunError(message)

servers = Estate("estate", EstateArgs(estate=estate, stack=pulumi.get_stack(), wait=wait))
pulumi.export("instances", servers.instances())
