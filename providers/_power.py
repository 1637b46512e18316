"""Power requests, made and waited for: a connector beside the source carries them out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from providers._provider import ProviderError
from providers._stack import Stack
from rehost.control import PowerRequest

POLL_SECONDS = 0.5
#: How long one request may take beside its guest's shutdown, before that is a failure.
POWER_SECONDS = 600.0


def await_power(
    here: Stack, asked: Mapping[str, str], *, keep: Callable[[], object] = lambda: None
) -> dict[str, PowerRequest]:
    """By server, each request once it has ended, whether DONE or FAILED. `asked`: request id by server.

    `keep` is called all the while. Raises ProviderError where one does not end.
    """
    said: dict[str, str] = {}
    began = time.monotonic()
    while True:
        found = {server: here.control.power.get(request) for server, request in asked.items()}
        waiting = {server: each for server, each in found.items() if each.state.is_open}
        if not waiting:
            return found
        for server, each in waiting.items():
            text = f"power {each.action}: {each.message or each.state.lower()}"
            if said.get(server) != text:
                said[server] = text
                print(f"{server}: {text}", flush=True)
            here.ensure_connector(here.control.jobs.get(each.job_id).spec.source_name)
        patience = POWER_SECONDS + max(each.shutdown_seconds for each in waiting.values())
        if time.monotonic() - began > patience:
            raise ProviderError(
                detail=f"no connector carried out what was asked of the power of {', '.join(sorted(waiting))} within "
                f"{patience:.0f} s; see `rehost status`"
            )
        keep()
        time.sleep(POLL_SECONDS)
