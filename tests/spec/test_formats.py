"""Findings with the line that they are about, for GitHub, and as SARIF. No secret is in any of them."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehost import spec
from rehost.spec import _redaction, _rules
from tests.spec import golden


def findings(folder: Path, text: str) -> list[spec.Finding]:
    folder.mkdir(exist_ok=True)
    (folder / "a.yaml").write_bytes(text.encode())
    return spec.check(folder)[1]


def said(folder: Path, text: str) -> str:
    excerpts = spec.Excerpts(folder.parent)
    return "\n".join(spec.as_text(each, excerpts) for each in findings(folder, text))


def test_the_caret_stands_below_the_place(tmp_path: Path) -> None:
    text = said(tmp_path / "specs", "sources:\n  e: {type: images, path: x, pth: y}\n")
    head, line, caret = text.splitlines()
    assert head == "specs/a.yaml:2:30: unknown key 'pth' in sources.e (did you mean path?) [unknown-key]"
    assert line[caret.index("^") :].startswith("pth: y}")


def test_a_long_line_is_cut_around_the_place(tmp_path: Path) -> None:
    many = ", ".join(f"tag{number}: x" for number in range(2000))
    line = f"  a: {{source: e, locator: {{name: a}}, tags: {{{many}}}, quiece: none, image: {{name: {'x' * 400}}}}}"
    text = said(tmp_path / "specs", f"sources: {{e: {{type: images, path: x}}}}\nservers:\n{line}\n")
    excerpt, caret = text[text.index("unknown key") :].splitlines()[1:3]
    assert excerpt[caret.index("^") :].startswith("quiece: none")
    assert len(excerpt) < 125
    assert " | ..." in excerpt
    assert excerpt.endswith("...")


def test_a_file_that_changes_meanwhile_is_no_error(tmp_path: Path) -> None:
    found = findings(tmp_path / "specs", "a: 1\nb: 2\n")
    (tmp_path / "specs" / "a.yaml").write_text("")
    excerpts = spec.Excerpts(tmp_path)
    assert [excerpts.of(each) is None for each in found] == [False, True]
    (tmp_path / "specs" / "a.yaml").unlink()
    assert [spec.Excerpts(tmp_path).of(each) for each in found] == [None, None]


def test_an_excerpt_is_not_taken_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.yaml").write_text("not: yours\n")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "a.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    finding = spec.Finding("a.yaml", 1, 1, "something")
    assert spec.Excerpts(tmp_path / "project").of(finding) is None
    assert spec.Excerpts(tmp_path).of(spec.Finding("elsewhere.yaml", 1, 1, "something")) is not None


SECRET = "hunter2-0xDEADBEEF"
PLACES = [
    "sources: {a: {type: vsphere, endpoint: vc, credentials: {username: {env: U}, password: %s}}}",
    "sources: {a: {type: vsphere, endpoint: vc, credentials: {username: {env: U}, password: {env: %s}, x: 1}}}",
    "sources: {a: {type: vsphere, endpoint: vc, credentials: {username: {env: U}, pasword: %s}}}",
    "sources: {a: {type: vsphere, endpoint: vc, credentials: %s}}",
    "sources: {a: {type: vsphere, endpoint: vc, passwd: %s, credentials: {username: {env: U}}}}",
    "sources: {a: {type: vsphere, endpoint: 'root:%s@vc', credentials: {username: {env: U}, password: {env: P}}}}",
    "sources: {a: {type: images, path: x, apiToken: [{value: %s}]}}",
    "sources:\n  a:\n    type: vsphere\n    credentials:\n      password: >-\n        %s\n      user: x\n",
    "sources:\n  a:\n    password: '%s\n",
    "sources: {a: {password: %s, b: ]}}",
    "sources: {a: {password: %s\n  x: 1}}",
    "notifications: {a: {webhook: {url: 'https://%s@hooks.example.com'}, events: [x]}}",
    "notifications: {a: {webhook: {url: 'ftp://hooks.example.com/%s', x: 1}}}",
    "notifications: {a: {webhook: {urlFrom: %s, secret: %s}}}",
]


def every_format(found: list[spec.Finding], root: Path) -> str:
    excerpts = spec.Excerpts(root)
    text = "\n".join(spec.as_text(each, excerpts) for each in found)
    github = "\n".join(spec.as_github(each, each.path) for each in found)
    sarif = json.dumps(spec.as_sarif(found, {each.path: each.path for each in found}, "1.0"))
    return "\n".join([text, github, sarif, json.dumps([each.as_dict() for each in found])])


@pytest.mark.parametrize("text", PLACES)
def test_a_secret_is_shown_nowhere(text: str, tmp_path: Path) -> None:
    found = findings(tmp_path / "specs", text.replace("%s", SECRET))
    assert any(each.is_error for each in found)
    assert SECRET not in every_format(found, tmp_path)


@given(st.sampled_from(PLACES), st.text(alphabet="abcXYZ019._-", min_size=6, max_size=40), st.integers(0, 40))
def test_no_secret_of_any_form_is_shown(text: str, end: str, spaces: int) -> None:
    secret = f"hunter2{end}"
    with tempfile.TemporaryDirectory() as folder:
        found = findings(Path(folder) / "specs", text.replace("%s", secret).replace("{", "{" + " " * spaces))
        assert secret not in every_format(found, Path(folder))


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "key=ASIAIOSFODNN7EXAMPLE;",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ghp_" + "a1" * 20,
        "xoxb-123456789012-abc",
        "postgresql://user:pa55@db.example.com/x",
    ],
)
def test_what_can_be_nothing_but_a_secret_is_refused_anywhere(text: str, tmp_path: Path) -> None:
    found = findings(
        tmp_path / "specs", f"launchConfigs: {{a: {{instanceType: t3.small, userData: {{text: '{text}'}}}}}}"
    )
    (finding,) = found
    assert (finding.rule, finding.is_error) == ("secret-value", True)
    assert "Secrets Manager" in finding.hint


@pytest.mark.parametrize(
    "text", ["AKIA", "at 12:30 @home", "https://example.com/a:b", "BEGIN CERTIFICATE", "mailto:a@b.example"]
)
def test_what_only_looks_a_little_like_one_is_not(text: str, tmp_path: Path) -> None:
    assert findings(tmp_path / "specs", f"launchConfigs: {{a: {{instanceType: t3.small, tags: {{x: '{text}'}}}}}}") == [
        spec.Finding("specs", 1, 1, "the spec declares no servers", severity="warning", rule="no-servers")
    ] or not any(each.is_error for each in spec.check(tmp_path / "specs")[1])


@given(st.text(alphabet="ab :@/", max_size=30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=4))
def test_the_caret_stays_at_its_character(text: str, spans: list[tuple[int, int]]) -> None:
    spans = [(left, min(right, len(text))) for left, right in spans if left < min(right, len(text))]
    for caret in range(len(text)):
        shown, moved = _redaction.replaced(text, spans, caret)
        if not any(left <= caret < right for left, right in spans):
            assert shown[moved] == text[caret]
        else:
            assert shown[moved:].startswith(_redaction.MASK)


def test_a_spec_does_not_steer_a_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "a\n::error::b\x1b[2J.yaml").write_text('"\\e[31m": {}\nservers: {a: {source: "\\e]0;x\\a"}}\n')
    found = spec.check(folder)[1]
    assert len(found) >= 3
    text = every_format(found, tmp_path)
    assert "\x1b" not in text
    assert "\a" not in text
    assert not re.search(r"^::error::b", text, re.MULTILINE)
    assert "\\x1b[31m" in text


def test_an_annotation_of_github(tmp_path: Path) -> None:
    finding = spec.Finding("specs/a,b.yaml", 3, 4, "100% wrong: a\r\nb", "so", rule="wrong-value")
    line = spec.as_github(finding, "infra/a,b:c.yaml")
    assert line == "::error file=infra/a%2Cb%3Ac.yaml,line=3,col=4,title=wrong-value::100%25 wrong: a\\r\\nb (so)"
    assert spec.as_github(spec.Finding("a", 1, 1, "b", severity="warning"), "a").startswith("::warning file=a,")


def test_sarif(tmp_path: Path) -> None:
    found = [finding for case in golden.cases() for finding in golden.findings(case)]
    paths = {each.path: each.path for each in found}
    report: Any = json.loads(json.dumps(spec.as_sarif(found, paths, "1.2.3")))
    assert (report["version"], len(report["runs"])) == ("2.1.0", 1)
    run = report["runs"][0]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("rehost", "1.2.3")
    assert len(run["results"]) == len(found) > 300
    for result, finding in zip(run["results"], found, strict=True):
        rule = driver["rules"][result["ruleIndex"]]
        assert rule["id"] == result["ruleId"] == finding.rule
        assert rule["shortDescription"]["text"] != finding.rule, "each rule says what it is about"
        assert not re.search(r"[`\[\]]", rule["shortDescription"]["text"])
        assert result["level"] in ("error", "warning")
        place = result["locations"][0]["physicalLocation"]
        assert place["region"] == {"startLine": finding.line, "startColumn": finding.column}
        assert place["artifactLocation"] == {"uri": finding.path, "uriBaseId": "%SRCROOT%"}


def test_a_path_in_sarif_is_a_uri() -> None:
    finding = spec.Finding("a b/ü.yaml", 1, 1, "x", rule="tab")
    for path, wanted in (("a b/ü.yaml", "a%20b/%C3%BC.yaml"), ("/a b", "/a%20b")):
        run = spec.as_sarif([finding], {finding.path: path}, "1")["runs"][0]
        artifact = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
        assert artifact["uri"] == wanted
        assert ("uriBaseId" in artifact) == (not path.startswith("/"))


def test_each_rule_has_one_meaning() -> None:
    names = [name for names, _text in _rules.RULES for name in names]
    assert len(names) == len(set(names))
    assert _rules.meaning("tab") == "it is not YAML"
    assert _rules.meaning("of-a-later-version") == "of-a-later-version"
