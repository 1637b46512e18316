"""The expressions of a workflow: values that GitHub's documentation gives, and nothing that is only guessed."""

from __future__ import annotations

from typing import Any

import pytest

from tools.ci.expressions import ExpressionError, Function, evaluate, fill

CONTEXTS = {
    "github": {"event_name": "pull_request", "ref": "refs/heads/main", "event": {"pull_request": {"number": 7}}},
    "env": {"REGION": "eu-central-1", "EMPTY": ""},
    "steps": {"cache": {"outputs": {"cache-hit": "true"}}},
}
FUNCTIONS: dict[str, Function] = {
    "always": lambda: True,
    "failure": lambda: False,
    "hashFiles": lambda *patterns: "".join(patterns),
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("github.event_name == 'Pull_Request'", True),
        ("github.event.pull_request.number", 7),
        ("github.event.pull_request.number == 7", True),
        ("github.event.nothing.deeper", None),
        ("github['ref']", "refs/heads/main"),
        ("steps.cache.outputs.cache-hit != 'true'", False),
        ("env.EMPTY || 'default'", "default"),
        ("env.REGION && 'set' || 'unset'", "set"),
        ("!(always() && failure())", True),
        ("'it''s'", "it's"),
        ("hashFiles('a', 'b') != ''", True),
        ("true && null", None),
        ("-1.5", -1.5),
        ("github.event_name != null", True),
    ],
)
def test_values(expression: str, expected: Any) -> None:
    assert evaluate(expression, CONTEXTS, FUNCTIONS) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "github.",
        "secrets.A",
        "fromJSON('1')",
        "'open",
        "1 == 'one'",
        "a b",
        "(true",
        "true)",
        "github.event.*.name",
        "always(",
        "@",
    ],
)
def test_what_is_wrong_or_not_known_raises(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(expression, CONTEXTS, FUNCTIONS)


def test_a_text_is_filled_with_values() -> None:
    text = "${{ env.REGION }}-${{ github.event.pull_request.number }}${{ github.none }}-${{ always() }}"
    assert fill(text, CONTEXTS, FUNCTIONS) == "eu-central-1-7-true"
    with pytest.raises(ExpressionError, match="cannot become text"):
        fill("${{ github.event }}", CONTEXTS, FUNCTIONS)
