"""Whatever stands in the files: findings, in bounded time and memory, and no other error."""

from __future__ import annotations

import itertools
import string
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from rehost import spec
from rehost.spec import _findings, _yaml
from rehost.spec._scalars import plain
from rehost.spec._syntax import MAX_BYTES, MAX_VALUES
from tests.spec import golden

SCHEMA = spec.schema()


def check(content: bytes | str) -> list[spec.Finding]:
    """Every way in, on a spec of one file."""
    with tempfile.TemporaryDirectory() as project:
        folder = Path(project) / "specs"
        folder.mkdir()
        (folder / "a.yaml").write_bytes(
            content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        )
        estate, found = spec.check(folder)
        assert (estate is None) == any(finding.is_error for finding in found)
        if estate is not None:
            assert spec.load(folder) == estate
        else:
            with pytest.raises(spec.SpecErrors) as errors:
                spec.load(folder)
            assert list(errors.value.findings) == found
        excerpts = spec.Excerpts(Path(project))
        for finding in found:
            lines = spec.as_text(finding, excerpts).split("\n")
            assert len(lines) in (1, 3)
            assert all(line.isprintable() for line in lines)
            assert "\n" not in spec.as_github(finding, finding.path)
        assert len(spec.as_sarif(found, {each.path: each.path for each in found}, "1")["runs"][0]["results"]) == len(
            found
        )
    for finding in found:
        assert finding.line >= 1
        assert finding.column >= 1
        assert "\n" not in str(finding)
    return found


@given(st.binary(max_size=200))
@example(b"\xff\xfe\x00")
@example(b"a: \x00")
@example(b"\xef\xbb\xbfsources: {}")
@example("a: \ufeffb".encode())
def test_any_bytes(content: bytes) -> None:
    check(content)


@given(st.text(alphabet=string.ascii_lowercase[:4] + " \n\t\r:-{}[],'\"&*!|>%@?#\\\x85\u2028\x07", max_size=60))
@example("? ? ?\n- -")
@example("{<<: {<<: [a]}}")
@example('"\\ud800": 1')
@example("a: !<tag:x> b")
def test_any_text(content: str) -> None:
    check(content)


@given(st.text(alphabet=string.ascii_lowercase[:3] + " \n:-{}[],'\"&*<?", max_size=40))
def test_both_parsers_give_the_same_data(content: str) -> None:
    first = _yaml.parse(content.encode(), "a.yaml")
    second = _yaml.parse(content.encode(), "a.yaml", loader=yaml.SafeLoader)
    if first.is_whole and second.is_whole:
        # They place what is empty differently.
        assert (first.data, first.values.keys()) == (second.data, second.values.keys())
        assert [finding.rule for finding in first.findings] == [finding.rule for finding in second.findings]


words = st.sampled_from(
    [
        *SCHEMA["properties"],
        *(key for entry in SCHEMA["$defs"].values() for key in entry.get("properties", ())),
        "a",
        "b",
    ]
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=8) | st.dates()
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=4), inner, max_size=4)
)


@given(st.dictionaries(words, st.dictionaries(words, trees, max_size=3), max_size=6) | trees)
def test_any_tree(tree: Any) -> None:
    check(yaml.safe_dump(tree, allow_unicode=True))


def shaped(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that are nearly what the schema asks for: they reach the checks behind it."""
    if "$ref" in schema:
        return st.deferred(lambda: shaped(SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[-1]]))
    names = st.sampled_from("abc")
    if "properties" in schema:
        return st.fixed_dictionaries({}, optional={key: shaped(each) for key, each in schema["properties"].items()})
    if schema.get("type") == "object":
        return st.dictionaries(names, shaped(schema["additionalProperties"]), max_size=3)
    if schema.get("type") == "array":
        return st.lists(shaped(schema["items"]), max_size=3)
    return st.sampled_from([*schema.get("enum", ()), *schema.get("examples", ())]) | names | leaves


@given(shaped(SCHEMA))
def test_nearly_right_specs(tree: Any) -> None:
    for finding in check(yaml.safe_dump(tree)):
        assert finding.rule


@given(
    st.text(alphabet="abcx-1", max_size=12),
    st.lists(st.text(alphabet="abcABx-1", min_size=1, max_size=12), max_size=300),
)
@example("wbe-7", [f"web-{number}" for number in range(300)])
def test_a_suggestion_is_a_known_name(word: str, known: list[str]) -> None:
    suggested = _findings.closest(word, known)
    assert suggested is None or suggested in known


@pytest.mark.parametrize("size", [5, 500])
@pytest.mark.parametrize("word", ["web-02x", "wb-02", "web-o2", "ewb-02", "WEB-02"])
def test_a_slip_of_the_pen_is_found_among_few_and_many(word: str, size: int) -> None:
    known = ["web-02", *itertools.islice((f"database-{number}" for number in itertools.count()), size)]
    assert _findings.closest(word, known) == "web-02"


CORPUS = [case.read_bytes() for case in golden.cases() if case.is_file()]


@given(
    st.sampled_from(CORPUS),
    st.lists(
        st.tuples(
            st.integers(0, 2000),
            st.integers(0, 3),
            st.binary(max_size=3) | st.sampled_from([*b" \n\t:{}[]'\"#*&|->?%!,\0", b"\xff", b"\r\n"]),
        ),
        max_size=5,
    ),
)
def test_wrong_specs_that_were_damaged(content: bytes, damage: list[tuple[int, int, Any]]) -> None:
    """Bytes of what is known to be wrong are left out, and others put in."""
    for place, length, put in damage:
        at = place % (len(content) + 1)
        content = content[:at] + (put if isinstance(put, bytes) else bytes([put])) + content[at + length :]
    check(content)


def laughs() -> str:
    lines = ["a: &a [lol, lol]"]
    for before, name in itertools.pairwise(string.ascii_lowercase):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines)


HOSTILE = {
    "laughs": (laughs(), "anchor"),
    "aliases": ("a: &a [1]\nb: [" + "*a," * 5000, "too-many"),
    "flow": ("[" * 100_000, "too-deep"),
    "flow-mappings": ("{a: " * 50_000, "too-deep"),
    "dashes": ("- " * 50_000, "too-deep"),
    "indented": ("".join(" " * depth + "a:\n" for depth in range(1000)), "too-deep"),
    "large": ("#" * (MAX_BYTES + 1), "too-large"),
    "values": ("a: [" + "a," * (2 * MAX_VALUES) + "]", "too-large"),
    "blackouts": (
        "schedules: {a: {every: 1d, blackouts: {"
        + ", ".join(f'b{number}: {{from: "00:00", to: "23:59"}}' for number in range(9000))
        + ', last: {from: "23:00", to: "00:10"}}}}',
        "always-closed",
    ),
    "numbers": ("servers: {" + ", ".join(f"k{number}: 1" for number in range(3000)) + "}", "too-many"),
    "unknown": ("".join(f"k{number}: 1\n" for number in range(3000)), "too-many"),
    "repeated": ("servers: {a: {locator: {disks: [" + "a," * 3000 + "]}}}", "too-many"),
    "dangling": ("waves: {a: {applications: [" + ", ".join(f"k{number}" for number in range(3000)) + "]}}", "too-many"),
    "digits": ("schedules: {a: {runOnce: true, keepImages: " + "9" * 5000 + "}}", "wrong-type"),
    "cycle": (
        "sources: {e: {type: images, path: x}}\nservers: {"
        + ", ".join(f"s{number}: {{source: e, locator: {{name: s{number}}}}}" for number in range(3000))
        + "}\napplications: {a: {groups: {"
        + ", ".join(f"g{number}: {{servers: [s{number}], after: [g{(number + 1) % 3000}]}}" for number in range(3000))
        + "}}}",
        "cycle",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_little(name: str) -> None:
    content, rule = HOSTILE[name]
    found = check(content)
    assert rule in {finding.rule for finding in found}
    assert len(found) <= 4 * _findings.MAX_ERRORS
    assert sum(len(str(finding)) for finding in found) < 1 << 21


def test_warnings_do_not_crowd_out_errors() -> None:
    servers = "".join(f"  s{number}: {{source: a, locator: {{name: s{number}}}}}\n" for number in range(1500))
    broken = "  last: {source: a, locator: {name: last}, image: {kmsKey: x}}\n"
    found = check("sources: {a: {type: images, path: x}}\nservers:\n" + servers + broken)
    assert [finding.rule for finding in found if finding.is_error] == ["key-without-encryption"]
    assert sum(finding.rule == "no-application" for finding in found) == 1501


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("ON", "ON"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("١٢", "١٢"),
        ("=", "="),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("0777", "0777"),
        ("012345678901", "012345678901"),
        ("01.5", "01.5"),
        ("-007", "-007"),
        ("0", 0),
        ("-0", 0),
        ("0.5", 0.5),
        ("-12", -12),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("9" * 19, "9" * 19),
    ],
)
def test_words_without_quotes(text: str, value: object) -> None:
    read = plain(text)
    assert (read, type(read)) == (value, type(value))
