"""Spec files in one form, and in the present version: nothing that they say is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rehost import spec
from rehost.spec import _versions, _yaml
from rehost.spec.editing import _migrate, _remarks, migrate, tidy
from tests.spec.test_hostile import SCHEMA, shaped, trees

ROOT = Path(__file__).resolve().parents[2]
GOOD = [*sorted((ROOT / "tests/spec/good").rglob("*.yaml")), ROOT / "migration_specs/example.yaml"]


def shape(text: str) -> str:
    shaped, findings = tidy(text.encode(), "a.yaml")
    assert findings == []
    assert shaped is not None
    return shaped


MESSY = """\
# head


# two
sources:      # of all
    dc1: { type: vsphere , endpoint: "vc",  credentials: {username: {env: U},
           password: {env: P}} }   # tail
    # between
    b: {type: images, path: ../x}


schedules:
    a: {every: 12h, keepImages: 0777, x: 1_000, y: 0o17, z: 1e3, t: 2026-01-01, e: , yes: no, h: 1:30}
servers:
    web-01:
        locator:
            disks:
            # first
            - a.raw   # root
            - b.raw\t

            - 'c.raw'
            # last of list
        userData: |
            #!/bin/sh
              echo hi   # no comment


            exit
        text: >-
            folded
            text
        multi: a b
          c d
    # end of servers
applications: {}
# end
"""
TIDY = """\
# head

# two
sources: # of all
  dc1: {type: vsphere, endpoint: "vc", credentials: {username: {env: U}, password: {env: P}}} # tail
  # between
  b: {type: images, path: ../x}

schedules:
  a: {every: 12h, keepImages: 0777, x: 1_000, y: 0o17, z: 1e3, t: 2026-01-01, e: null, yes: no, h: 1:30}
servers:
  web-01:
    locator:
      disks:
        # first
        - a.raw # root
        - b.raw

        - 'c.raw'
        # last of list
    userData: |
      #!/bin/sh
        echo hi   # no comment


      exit
    text: >-
      folded
      text
    multi: a b c d
  # end of servers
applications: {}
# end
"""


def test_a_file_in_one_form() -> None:
    assert shape(MESSY) == TIDY
    assert shape(TIDY) == TIDY


def test_line_ends_and_the_byte_order_mark() -> None:
    assert shape("\ufeffsources: {}\r\n# x\r\n\r\nservers: {}") == "sources: {}\n# x\n\nservers: {}\n"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "\n# one\n\n# two  \n\n"])
def test_files_without_data(text: str) -> None:
    shaped = shape(text)
    assert shaped == shape(shaped)
    assert shaped == "" or (shaped.startswith("#") and shaped.endswith("\n"))


def test_what_is_too_long_for_a_line_gets_several() -> None:
    servers = ", ".join(f"server-{number:03}" for number in range(12))
    shaped = shape(f"applications: {{shop: {{groups: {{web: {{servers: [{servers}]}}, db: {{servers: [a]}}}}}}}}\n")
    assert shaped.splitlines()[:5] == [
        "applications:",
        "  shop:",
        "    groups:",
        "      web:",
        "        servers:",
    ]
    assert "          - server-000" in shaped
    assert "      db: {servers: [a]}" in shaped
    assert max(map(len, shaped.splitlines())) <= 120


def test_a_comment_that_has_no_place_keeps_the_file_as_it_is() -> None:
    text = "sources:\n  e: {type: images, # kind\n      path: x}\n"
    shaped, (finding,) = tidy(text.encode(), "a.yaml")
    assert shaped is None
    assert finding.rule == "not-formatted"
    assert "the comment in line 2 would be lost" in finding.message


@pytest.mark.parametrize("text", ["a: [", "a: &x 1\nb: *x", "a: 1\na: 2", "a: !x 1", "\x00", "a: 1\n---\nb: 1"])
def test_what_is_no_spec_file_is_said_as_validate_says_it(text: str) -> None:
    shaped, findings = tidy(text.encode(), "a.yaml")
    assert shaped is None
    assert findings == _yaml.parse(text.encode(), "a.yaml").findings != []


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_the_files_of_this_repository_are_in_form(path: Path) -> None:
    assert shape(path.read_text("utf-8")) == path.read_text("utf-8")


def unharmed(text: str) -> None:
    """Whatever stands in a file: it comes out with the same data and comments, and again as it is; or not at all."""
    before = _yaml.parse(text.encode(), "a.yaml")
    shaped, findings = tidy(text.encode(), "a.yaml")
    if shaped is None:
        assert findings
        return
    after = _yaml.parse(shaped.encode(), "a.yaml")
    assert (after.data, after.findings) == (before.data, [])
    assert [each.words for each in _remarks.of(shaped)] == [each.words for each in _remarks.of(text)]
    assert tidy(shaped.encode(), "a.yaml") == (shaped, [])
    assert not re.search(r"\t$|\r", shaped)


@settings(max_examples=60)
@given(shaped(SCHEMA) | trees, st.sampled_from([None, True, False]), st.integers(2, 6))
def test_any_tree_comes_through(tree: object, flow: bool | None, indent: int) -> None:
    unharmed(yaml.safe_dump(tree, allow_unicode=True, default_flow_style=flow, indent=indent, width=60))


@settings(max_examples=60)
@given(st.text(alphabet="ab \n:-{}[],'\"#|>\t?", max_size=60))
def test_any_text_comes_through(text: str) -> None:
    unharmed(text)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from(["own", "tail", "blank", "space"]), st.integers(0, 9)), max_size=6
    )
)
def test_comments_anywhere_come_through(changes: list[tuple[int, str, int]]) -> None:
    lines = (ROOT / "tests/spec/good/estate.yaml").read_text("utf-8").splitlines()
    for place, kind, width in changes:
        at = place % len(lines)
        if kind == "own":
            lines.insert(at, f"{' ' * width}# own {place}")
        elif kind == "tail":
            lines[at] += f"{' ' * (width + 1)}# tail {place}"
        elif kind == "blank":
            lines[at:at] = [""] * (width % 3)
        else:
            lines[at] = lines[at].replace(", ", f",{' ' * width} ")
    unharmed("\n".join(lines))


OLD = """\
# the estate of SMS
apiVersion: rehost/v1alpha1
sources:
  exports: {type: images, path: ../exports}
schedules:
  daily: {frequency: 24, numberOfRecentAmisToKeep: 5}
  often:
    # as SMS had it
    frequency: 12 # hours
    seedReplicationTime: 2026-12-05T22:00:00+01:00
servers:
  web-01:
    source: exports
    locator: {path: web-01.raw}
    encrypted: true # all of them
    kmsKeyId: alias/migration
    licenseType: BYOL
    roleName: vmimport
    description: the web server
    schedule: daily
  db-01: {source: exports, locator: {path: db-01.raw}, encrypted: true, image: {bootMode: bios}}
applications:
  shop:
    # in this order
    serverGroups:
      - name: db
        servers: [db-01] # first
      - {name: web, servers: [web-01]}
"""
NEW = """\
# the estate of SMS
apiVersion: rehost/v1
sources:
  exports: {type: images, path: ../exports}
schedules:
  daily: {every: 24h, keepImages: 5}
  often:
    # as SMS had it
    every: 12h # hours
    seedTime: 2026-12-05T22:00:00+01:00
servers:
  web-01:
    source: exports
    locator: {path: web-01.raw}
    image: {license: byol, encrypt: true, kmsKey: alias/migration, role: vmimport, description: the web server} # all of them
    schedule: daily
  db-01: {source: exports, locator: {path: db-01.raw}, image: {bootMode: bios, encrypt: true}}
applications:
  shop:
    # in this order
    groups:
      db:
        servers: [db-01] # first
      web: {servers: [web-01], after: [db]}
"""


def test_an_old_file_becomes_a_valid_one_of_the_present_version(tmp_path: Path) -> None:
    text, findings = migrate(OLD.encode(), "a.yaml")
    assert findings == []
    assert text == NEW
    (tmp_path / "a.yaml").write_text(text)
    estate = spec.load(tmp_path / "a.yaml")
    assert estate.schedules["daily"].every_seconds == 86_400
    assert estate.servers["web-01"].image.license == "byol"
    assert [group.name for group in estate.applications["shop"].groups] == ["db", "web"]


def test_a_file_of_the_present_version_is_left_alone() -> None:
    assert migrate(NEW.encode(), "a.yaml") == (None, [])
    assert migrate(b"sources: {}\n", "a.yaml") == (None, [])
    text, _findings = migrate(b"schedules: {a: {frequency: 6}}\n", "a.yaml", of="rehost/v1alpha1")
    assert text == "schedules: {a: {every: 6h}}\napiVersion: rehost/v1\n" or text == (
        "schedules:\n  a: {every: 6h}\napiVersion: rehost/v1\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schedules: {a: {frequency: 0}}", "a.yaml:2:17: the frequency '0' is not a number of hours, 1 to 24"),
        ("schedules: {a: {frequency: 1.5}}", "a.yaml:2:17: the frequency '1.5' is not"),
        ("schedules: {a: {frequency: 5, every: 5h}}", "a.yaml:2:17: frequency and every mean the same"),
        ("servers: {a: {licenseType: windows}}", "a.yaml:2:15: the licenseType 'windows' is neither"),
        ("servers: {a: {encrypted: true, image: {encrypt: false}}}", "a.yaml:2:15: encrypted and image.encrypt mean"),
        ("servers: {a: {encrypted: true, image: x}}", "a.yaml:2:32: the image is no mapping"),
        ("applications: {a: {serverGroups: {}}}", "a.yaml:2:20: serverGroups is a list"),
        ("applications: {a: {serverGroups: [{name: x, servers: [a]}, {name: x, servers: [b]}]}}", "a.yaml:2:60: there are two groups x"),
        ("applications: {a: {serverGroups: [x]}}", "a.yaml:2:35: a group has name and servers"),
    ],
)  # fmt: skip
def test_what_cannot_be_rewritten_is_said(text: str, said: str) -> None:
    changed, (finding,) = migrate(f"apiVersion: rehost/v1alpha1\n{text}\n".encode(), "a.yaml")
    assert changed is None
    assert str(finding).startswith(said)
    assert finding.rule == "not-migrated"


def test_an_unknown_version_is_not_guessed_at() -> None:
    changed, (finding,) = migrate(b"apiVersion: rehost/v9\n", "a.yaml")
    assert changed is None
    assert str(finding) == (
        "a.yaml:1:13: nothing is known of the version 'rehost/v9' (it can be rewritten from: rehost/v1alpha1)"
    )


def test_each_old_version_can_be_rewritten() -> None:
    assert tuple(_migrate.STEPS) == _versions.OLD
    assert spec.schema()["properties"]["apiVersion"]["const"] == _versions.CURRENT


def test_an_old_file_is_refused_with_the_way_out_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(OLD)
    (tmp_path / "b.yaml").write_text("applications: {x: {groups: {all: {servers: [web-01]}}}}\n")
    (finding,) = spec.check(tmp_path)[1]
    assert (finding.rule, finding.hint) == ("old-version", "rehost migrate-spec rewrites it")


@settings(max_examples=60)
@given(trees)
def test_any_old_file(tree: object) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True)
    changed, findings = migrate(text.encode(), "a.yaml", of="rehost/v1alpha1")
    if changed is not None:
        assert _yaml.parse(changed.encode(), "a.yaml").data["apiVersion"] == "rehost/v1"
        assert migrate(changed.encode(), "a.yaml") == (None, [])
    elif isinstance(_yaml.parse(text.encode(), "a.yaml").data, dict) and "apiVersion" not in (tree or ()):  # type: ignore[operator]
        assert findings
