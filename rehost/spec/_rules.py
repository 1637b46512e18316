"""The rules by name: what docs/spec.md lists, and what SARIF tells of them."""

from __future__ import annotations

#: Names that mean alike share a line.
RULES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("no-files", "unreadable", "encoding", "too-large"),
        "no folder, no YAML file in it, or a file that cannot be read, is not UTF-8, or is too large",
    ),
    (("outside",), "a link or a `file:` that leads out of the project"),
    (("no-servers",), "a warning: the files declare nothing"),
    (("syntax", "tab"), "it is not YAML"),
    (
        ("too-deep", "too-many"),
        "nested more than 40 deep, or launch configs or server templates that extend each other over more than 10 levels; more than 1,000 errors of one kind",
    ),
    (
        ("anchor", "merge-key", "tag", "several-documents"),
        "YAML that the spec language does without",
    ),
    (("key-type", "duplicate-key"), "a key that is not text, or stands there twice"),
    (("old-version",), "a file in an older version of the language: `rehost migrate-spec` rewrites it"),
    (("unknown-key", "missing-key", "one-of"), "a key that does not exist, is lacking, or excludes another"),
    (
        ("wrong-type", "wrong-value", "empty", "duplicate-item", "bad-name"),
        "a value, a list or a name that cannot be so",
    ),
    (("secret-value",), "a secret in place of a reference to one"),
    (("throttle-too-low",), "a throttle under which no block would arrive in time"),
    (("no-power",), "a power setting that a source cannot carry out"),
    (
        ("duplicate-entry",),
        "an entry that two files have, or that a selection has too; defaults that a folder has twice",
    ),
    (("variable",), "a variable that does not exist, has no value, is a secret, or stands where none can"),
    (("stale-selection",), "a selection whose servers are not written down, or were for another match"),
    (("dangling-name",), "a name that nothing has"),
    (("two-homes",), "a server in two groups, an application in two waves"),
    (
        ("no-application", "same-machine"),
        "warnings: a server that nothing waits for; two servers with one locator",
    ),
    (
        ("cycle",),
        "groups, or waves, that wait for each other; launch configs or server templates that extend each other",
    ),
    (
        ("window",),
        "a window or a blackout that closes before it opens; a wave whose window is over before that of a wave it comes after opens",
    ),
    (
        ("unknown-concern", "not-ignorable"),
        "`ignore` with the id of no concern, or of one that would fail all the same ([preflight.md](preflight.md))",
    ),
    (
        ("cron", "time-zone"),
        "a cron line that is none, or names a day that never comes; an unknown time zone",
    ),
    (
        ("jitter", "retry", "always-closed"),
        "lengths of time that exclude each other; blackouts that leave no minute",
    ),
    (("no-effect",), "a key that means nothing beside another one"),
    (("out-of-reach",), "a secret that a connector cannot read"),
    (("no-launch-config",), "a server that is to be launched, without a launch config"),
    (
        ("import-limit", "import-only", "register-only"),
        "what VM import does not take; what only VM import has, or only registration",
    ),
    (("image-name",), "a name template with a placeholder or a character that cannot be"),
    (("unshareable-key",), "an image that is shared, but encrypted with a key that cannot be"),
    (("key-without-encryption",), "a `kmsKey` without `encrypt: true`"),
    (("wrong-locator",), "a key of a locator by which that type of source finds nothing"),
    (("no-guest",), "`quiesce: require` on a source without a guest"),
    (
        ("wrong-architecture", "wrong-boot-mode"),
        "an instance type of another processor than the image; arm64 with BIOS",
    ),
    (
        ("public-address", "no-subnet", "wrong-tenancy", "wrong-volume"),
        "what EC2 does not launch: a public address with several network interfaces, several without a subnet, a host without its tenancy, figures that a volume type does not take or needs",
    ),
    (("wrong-script",), "a configure script that the guest would not run, or not beside that user data"),
    (("shared-address",), "one `privateIp` for two servers"),
    (("too-many-tags",), "more tags than AWS takes"),
)


def meaning(rule: str) -> str:
    """What a rule is about; its name where none is written down."""
    return next((text for names, text in RULES if rule in names), rule)
