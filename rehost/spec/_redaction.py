"""What looks like a secret, in a name or in a text: plain words, so that messages can be rid of it."""

from __future__ import annotations

import re

MASK = "***"

#: A key by whose name its value is probably a secret.
_TELLING = re.compile(r"pass(word|wd|phrase)|\bpwd|secret|token|credential|(api|access|private)[_-]?key", re.IGNORECASE)
#: The same in a line that is not YAML, up to the value.
_LINE = re.compile(rf"((?:{_TELLING.pattern})[\w-]*[\"']?\s*[:=]\s*)(?=[^\s{{\[]).*$", re.IGNORECASE)

KINDS = (
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----")),
    ("a token of GitHub", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40})")),
    ("a token of Slack", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10}")),
    ("a URL with a password", re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,100}:[^\s/@]{1,200}@")),
)
INSTEAD = "specs are kept in git and read by many: let the guest fetch it from AWS Secrets Manager or SSM"
_PASSWORD = re.compile(r"(?<=:)[^\s/:@]{1,200}(?=@)")


def is_telling(key: str) -> bool:
    """Whether a key's name says that a secret stands there."""
    return _TELLING.search(key[:200]) is not None


def masked(text: str) -> str:
    """A text of which nothing is known, without what looks like a secret. A URL's password, not its user."""
    for _kind, pattern in KINDS[:4]:
        text = pattern.sub(MASK, text)
    return _PASSWORD.sub(MASK, text)


def masked_line(text: str) -> str:
    """The same for a line of a file that is not YAML: behind a telling key, too."""
    return masked(_LINE.sub(rf"\g<1>{MASK}", text))
