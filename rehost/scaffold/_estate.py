"""What an estate repository consists of: the Pulumi program and the pipelines of this repository, and a spec that can be previewed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from rehost.scaffold._errors import FilesMissing, WrongSetting
from rehost.scaffold._write import NewFile
from rehost.spec import schema

#: By pipeline: the file in `pipelines/` and its place in an estate repository.
PIPELINES: Mapping[str, Mapping[str, str]] = {
    "github": {
        "github/rehost.yml": ".github/workflows/rehost.yml",
        "github/rehost-drift.yml": ".github/workflows/rehost-drift.yml",
        "github/setup-rehost/action.yml": ".github/actions/setup-rehost/action.yml",
    },
    "gitlab": {"gitlab/gitlab-ci.yml": ".gitlab-ci.yml"},
    "none": {},
}
_EVERYWHERE = {"pre-commit-config.yaml": ".pre-commit-config.yaml"}

#: The example's disk: something in it to copy, small enough for a repository.
EXAMPLE_DISK = "exports/example-01.raw"
_EXAMPLE_BYTES = 1 << 20
_EXAMPLE_TEXT = b"An example disk of rehost: not a system that boots. Remove it with the server example-01.\n"


@dataclass(frozen=True)
class Settings:
    """What the files of an estate differ in. Raises WrongSetting."""

    stack: str = "prod"
    region: str = "eu-central-1"
    pipeline: str = "github"
    repository: str | None = None  # where rehost is kept, OWNER/NAME
    ref: str | None = None  # a tag or a commit of it

    def __post_init__(self) -> None:
        for option, value, pattern, what in (
            (
                "--stack",
                self.stack,
                r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
                "letters, digits, `.`, `_` and `-`, at most 100",
            ),
            ("--region", self.region, r"[a-z]{2}(-[a-z]+)+-\d{1,2}", "an AWS region looks like eu-central-1"),
            ("--rehost", self.repository, r"[\w.-]+/[\w.-]+", "write OWNER/NAME"),
            ("--ref", self.ref, r"(?!-)[\w./-]{1,200}", "write a tag or a commit"),
        ):
            if value is not None and not re.fullmatch(pattern, value, re.ASCII):
                raise WrongSetting(option=option, value=value, what=what)
        if self.pipeline not in PIPELINES:
            raise WrongSetting(option="--pipeline", value=self.pipeline, what=f"it is one of {', '.join(PIPELINES)}")


def estate_files(settings: Settings) -> list[NewFile]:
    """Every file of a new estate repository, by its path there. Raises FilesMissing."""
    found = {
        "README.md": _readme(settings),
        ".gitignore": _ours("gitignore"),
        "Pulumi.yaml": _ours("Pulumi.yaml"),
        f"Pulumi.{settings.stack}.yaml": f"config:\n  rehost:region: {settings.region}\n",
        "__main__.py": _ours("program"),
        "migration_specs/estate.yaml": _ours("estate.yaml"),
        "policies/estate.yaml": _ours("policies.yaml"),
        "migration_specs/schema.json": json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
    }
    for source, target in {**_EVERYWHERE, **PIPELINES[settings.pipeline]}.items():
        found[target] = _adapted(_ours(f"pipelines/{source}"), settings)
    disk = _EXAMPLE_TEXT + bytes(_EXAMPLE_BYTES - len(_EXAMPLE_TEXT))
    return [NewFile(path, text.encode()) for path, text in sorted(found.items())] + [NewFile(EXAMPLE_DISK, disk)]


def _ours(name: str) -> str:
    # Some of these are links to where the repository itself keeps them; a wheel has their content.
    try:
        return (files("rehost.scaffold") / "files" / name).read_text("utf-8")
    except OSError as error:
        raise FilesMissing(name=name) from error


def _adapted(text: str, settings: Settings) -> str:
    """A pipeline for this stack and region. Where rehost is kept has to be filled in by hand, unless it was said."""
    text = text.replace("PULUMI_STACK: prod", f"PULUMI_STACK: {settings.stack}")
    text = text.replace("AWS_REGION: eu-central-1", f"AWS_REGION: {settings.region}")
    if settings.repository:
        text = text.replace("default: OWNER/rehost", f"default: {settings.repository}")
    if settings.ref:
        text = text.replace("default: main", f"default: {json.dumps(settings.ref)}")
    return text


def _readme(settings: Settings) -> str:
    pipeline = _ours(f"readme-{settings.pipeline}.md") if settings.pipeline != "none" else ""
    text = _ours("README.md").replace("@PIPELINE@\n", pipeline)
    return text.replace("@STACK@", settings.stack).replace("@REGION@", settings.region)
