"""The JSON Schema as such, the page that is made from it, and where a secret belongs."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rehost import spec
from rehost.spec import _docs, _schema, _yaml
from rehost.spec.__main__ import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "spec.md"

PUBLIC = """
Application Check Estate Excerpts Explained Finding Group ImageOptions LaunchConfig NetworkInterface NoSuchKey Notification Position
PostLaunchAction Schedule Selection Server SourceSpec SpecErrors Variables Volume Wave Window as_github as_sarif as_text check check_stacks
digest digests explain group_order load of read schema selections
"""


def test_the_public_names() -> None:
    assert spec.__all__ == PUBLIC.split()
    assert all(hasattr(spec, name) for name in spec.__all__)


def test_the_schema_is_one() -> None:
    assert spec.schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(spec.schema())


def keys(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place of the schema that says what a key, a name, an item or an entry is."""
    for name, entry in {**schema.get("$defs", {}), **schema.get("properties", {})}.items():
        yield f"{path}/{name}", entry
        yield from keys(entry, f"{path}/{name}")
    for word in ("items", "additionalProperties", "propertyNames"):
        entry = schema.get(word)
        if isinstance(entry, dict) and "$ref" not in entry:
            yield f"{path}/{word}", entry
            yield from keys(entry, f"{path}/{word}")


ALL_KEYS = dict(keys(spec.schema()))


@pytest.mark.parametrize("path", ALL_KEYS)
def test_each_key_has_a_title_a_description_and_an_example(path: str) -> None:
    entry = ALL_KEYS[path]
    assert entry["title"]
    assert entry["description"].endswith(".")
    assert entry.get("examples") or "$ref" in entry


@pytest.mark.parametrize("path", ALL_KEYS)
def test_examples_and_defaults_are_valid(path: str) -> None:
    entry = ALL_KEYS[path]
    validator = jsonschema.Draft202012Validator({**entry, "$defs": spec.schema()["$defs"]})
    defaults = [entry["default"]] if "default" in entry else []
    for value in [*entry.get("examples", []), *defaults]:
        validator.validate(value)


def test_mappings_take_no_unknown_keys() -> None:
    # A source's keys depend on its type: the definition of the type closes it.
    open_ones = [
        path
        for path, entry in ALL_KEYS.items()
        if entry.get("type") == "object" and "additionalProperties" not in entry and path != "/source"
    ]
    assert open_ones == []


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert _docs.render(page) == page, "run: python -m rehost.spec docs"


def test_the_page_has_each_key() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, entry in {"spec": spec.schema(), **spec.schema()["$defs"]}.items():
        if "properties" in entry and name != "source":
            assert _docs.table(name) in page, name


def test_tables_are_made_anew(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: window -->\nold\n<!-- end -->\nafter\n")
    main(["docs", str(page)])
    text = page.read_text()
    assert text.startswith("before\n<!-- table: window -->\n\n| key |")
    assert "| `opens` | text | **required** | When it begins" in text
    assert "old" not in text
    assert text.endswith("\n<!-- end -->\nafter\n")


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schema"])
    assert json.loads(capsys.readouterr().out) == spec.schema()


def with_password(value: str) -> list[str]:
    """What is said of a source of a later version, which has a key for a secret."""
    later = copy.deepcopy(spec.schema())
    later["$defs"]["imagesSource"]["properties"]["password"] = {"$ref": "#/$defs/secret"}
    text = f"sources:\n  a: {{type: images, path: x, password: {value}}}\n"
    document = _yaml.parse(text.encode(), "a.yaml")
    return [f"{finding} [{finding.rule}]" for _path, finding in _schema.findings(document, later)]


@pytest.mark.parametrize("value", ["hunter2", "12345", "[hunter2]", "!!str hunter2"])
def test_a_secret_is_refused_and_not_repeated(value: str) -> None:
    (line,) = with_password(value)
    assert line == (
        "a.yaml:2:40: sources.a.password must be a reference to a secret, never the secret itself"
        " (specs are kept in git and read by many; for example {env: VC_PASSWORD}) [secret-value]"
    )


@pytest.mark.parametrize("value", ["{env: hunter 2}", "{env: 12345}", "{env: [hunter2]}", "{env: X, ssmParameter: ''}"])
def test_what_stands_in_a_reference_is_not_repeated_either(value: str) -> None:
    lines = with_password(value)
    assert lines
    assert not any("hunter" in line or "12345" in line for line in lines)


@pytest.mark.parametrize("key", ["env", "secretsManager", "ssmParameter", "pulumiConfig"])
def test_references_to_secrets(key: str) -> None:
    assert with_password(f"{{{key}: VC_PASSWORD}}") == []
