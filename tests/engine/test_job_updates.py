"""What a change of a job means is in the preview, before anyone approves; and it is then what happens. By the real engine."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import EngineProject

pytestmark = pytest.mark.engine

SPEC = """\
sources:
  exports: {type: images, path: ../exports}
schedules:
  daily: {every: 24h, keepImages: 3}
servers:
  web-01:
    source: exports
    locator: {path: web-01.raw}
    schedule: daily
    image:
      conversion: import
      encrypt: true
      kmsKey: KEY
"""


def runs(project: EngineProject) -> list[Any]:
    return list(project.status()["jobs"][0]["runs"])


def test_a_preview_says_what_costs_a_full_copy_and_an_update_without_one_costs_none(project: EngineProject) -> None:
    kms = project.aws("kms")
    key, other = (kms.create_key()["KeyMetadata"] for _ in range(2))
    kms.create_alias(AliasName=f"alias/{project.stack}", TargetKeyId=key["KeyId"])
    project.spec.write_text(SPEC.replace("KEY", f"alias/{project.stack}"))
    project.up()

    # Licence, description, role, retention, and another name of the same key: in place, and nothing is copied again.
    project.edit("keepImages: 3", "keepImages: 5")
    project.edit(
        f"kmsKey: alias/{project.stack}\n",
        f"kmsKey: {key['Arn']}\n      license: byol\n      description: the shop's web server\n      role: vmimport\n",
    )
    shown = project.pulumi("preview", "--diff").stdout
    assert "update" in shown
    assert "byol" in shown
    assert "yes, because" not in shown
    project.up()
    project.up("--expect-no-changes")
    project.rehost("run", "web-01")
    newest = runs(project)[0]
    assert newest["state"] == "COMPLETED"
    assert [disk["sent_blocks"] for disk in newest["disks"]] == [0]

    project.edit(f"kmsKey: {key['Arn']}", f"kmsKey: {other['KeyId']}")
    shown = project.pulumi("preview", "--diff").stdout
    assert f"yes, because image.kmsKey changes from {key['Arn']} to {other['KeyId']}" in shown

    project.edit(f"encrypt: true\n      kmsKey: {other['KeyId']}\n", "encrypt: false\n")
    assert "yes, because image.encrypt is turned off" in project.pulumi("preview", "--diff").stdout


def test_a_role_or_a_key_that_cannot_be_used_is_found_before_anything_is_done(project: EngineProject) -> None:
    kms = project.aws("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    project.spec.write_text(SPEC.replace("kmsKey: KEY", f"kmsKey: {key}\n      role: nobody"))
    refused = project.pulumi("preview", ok=False)
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert "'nobody', which does not exist" in said
    assert "is to be deleted on" in said
    assert "Traceback" not in said
    assert project.owned() == []
