"""What the program of an estate asks of the engine: the stack's settings, and whether the spec is the one that was previewed."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pulumi

from rehost import spec
from rehost.files import write_whole

#: The digest of the spec that was reviewed, as `rehost digest` prints it. Another spec is refused.
REVIEWED = "REHOST_SPEC_DIGEST"
_TOLD = 8  # entries named


def variables() -> spec.Variables:
    """What the spec's variables stand for on this stack."""
    settings = {**json.loads(os.environ.get("PULUMI_CONFIG") or "{}"), **pulumi.runtime.config.CONFIG.get()}
    secrets = frozenset(json.loads(os.environ.get("PULUMI_CONFIG_SECRET_KEYS") or "[]"))
    return spec.Variables(
        pulumi.get_stack(),
        pulumi.get_project(),
        {key: value for key, value in settings.items() if isinstance(value, str) and key not in secrets},
        secrets,
    )


def must_be_reviewed(estate: spec.Estate, folder: Path) -> None:
    """Refuse a spec that is not the one that was reviewed, or previewed a moment ago by the same command.

    `pulumi up` runs the program twice, for its preview and for the update that somebody has agreed to. What the first of
    them saw is kept in `folder` for the second. Raises `pulumi.RunError`.
    """
    wanted = os.environ.get(REVIEWED)
    found = spec.digest(estate)
    if wanted and wanted != found:
        message = (
            f"the spec is not the one that was reviewed: its digest is {found}, and {REVIEWED} is {wanted}; nothing was "
            "changed. Preview and review it as it is now, or check out what was reviewed"
        )
        raise pulumi.RunError(message)
    engine = _engine()
    if engine is None:
        return
    file = folder / f"previewed-{pulumi.get_stack()}.json"
    entries = {"/".join(key): value for key, value in spec.digests(estate).items()}
    if pulumi.runtime.is_dry_run():
        with suppress(OSError):  # a folder that cannot be written to: REHOST_SPEC_DIGEST is the way there
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps({"engine": engine, "entries": entries}).encode("utf-8"))
        return
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["engine"] == engine and kept["entries"] != entries:
            _refuse(estate, kept["entries"], entries)


def _refuse(estate: spec.Estate, before: dict[str, str], now: dict[str, str]) -> None:
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    told = []
    for key in changed[:_TOLD]:
        section, _, name = key.partition("/")
        place = estate.positions.get((section, name))
        where = f" ({place})" if place else "" if key in now else " (gone)"
        told.append(f"  {section}.{name}{where}")
    if len(changed) > _TOLD:
        told.append(f"  and {len(changed) - _TOLD} more")
    message = "the spec has changed since the preview; nothing was changed anywhere:\n{}\nrun `pulumi up` again".format(
        "\n".join(told)
    )
    raise pulumi.RunError(message)


def _engine() -> str | None:
    """The `pulumi` process that runs this program, by its number and its start; None where the system does not tell.

    From Linux's /proc (proc(5)): the engine is the nearest process above that is called pulumi.
    """
    process = os.getppid()
    with suppress(OSError, ValueError, IndexError):
        while process > 1:
            content = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
            name = content[content.index("(") + 1 : content.rindex(")")]
            fields = content[content.rindex(")") + 2 :].split()
            if name.removesuffix(".exe") == "pulumi":
                return f"{process}:{fields[19]}"
            process = int(fields[1])
    return None
