"""Account and region that an inventory names for each server. A spec has neither: both are the stack's, one of each."""

from __future__ import annotations

from rehost.importers._inventory import Inventory, Options
from rehost.importers._remarks import Kind


class Targets:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._found: dict[tuple[str, str], int] = {}
        self._passed = 0

    def wants(self, account: str, region: str) -> bool:
        """Whether the caller asked for that account and region; all, where nobody asked."""
        wanted = (self._options.account or account, self._options.region or region)
        if wanted != (account, region):
            self._passed += 1
            return False
        self._found[account, region] = self._found.get((account, region), 0) + 1
        return True

    def finish(self, inventory: Inventory) -> None:
        """Say where the spec belongs; several places are a problem, since subnets and quotas are of one."""
        named = {place: count for place, count in self._found.items() if any(place)}
        if len(named) > 1:
            told = ", ".join(
                f"{account or 'no account'} in {region or 'no region'}: {count}"
                for (account, region), count in named.items()
            )
            inventory.problems.append(
                f"the servers belong to {len(named)} accounts and regions ({told}), and a stack is one of each: "
                "import them one by one with --account and --region, each into a folder of its own"
            )
        for account, region in named:
            reason = "account and region are the stack's: its credentials, and `pulumi config set rehost:region`"
            inventory.tell(Kind.NOTE, reason, field="account and region", value=f"{account} {region}".strip())
        if self._passed:
            inventory.tell(
                Kind.NOTE, "in another account or region than was asked for", value=f"{self._passed} servers"
            )
