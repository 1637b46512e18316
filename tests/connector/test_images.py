"""Images as the spec wants them: names, attributes, copies, shares; and a stage that fails is tried again alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import boto3
import pytest

from rehost.connector import _retention, remove_job
from rehost.connector._sweep import sweep
from rehost.control import RunState

from .conftest import Site
from .inprocess import FastPatience, Worker

REGISTER = {"conversion": "register", "encrypt": False, "architecture": "x86_64", "bootMode": "auto"}
IMPORT = REGISTER | {"conversion": "import"}


def client(site: Site, service: str, region: str = "eu-central-1") -> Any:
    return boto3.client(service, endpoint_url=site.sandbox.endpoint, region_name=region)


def image_of(site: Site, image_id: str, region: str = "eu-central-1") -> dict[str, Any]:
    (found,) = client(site, "ec2", region).describe_images(ImageIds=[image_id])["Images"]
    return dict(found)


def puts(site: Site) -> int:
    return site.sandbox.calls().get("ebs.PutSnapshotBlock", 0)


def test_a_registered_image_has_what_the_spec_says(site: Site) -> None:
    site.write(range(3))
    image = REGISTER | {
        "name": "{application}-{server}-{date}",
        "description": "the shop's web server",
        "bootMode": "uefi",
        "imdsv2": "required",
        "tpm": True,
        "uefiData": "QU1aTlVFRkk=",
    }
    job = site.declare(image=image, application="shop", tags={"costCentre": "4711"}, server=f"web-{uuid4().hex[:8]}")
    run = Worker(site).carry_out(job)
    assert run.state is RunState.COMPLETED, run.message
    made = image_of(site, run.image_id or "")
    assert run.started_at is not None
    assert made["Name"] == f"shop-{job.spec.server}-{run.started_at:%Y%m%d}"
    assert (made["Description"], made["BootMode"], made["ImdsSupport"], made["TpmSupport"], made["EnaSupport"]) == (
        "the shop's web server",
        "uefi",
        "v2.0",
        "v2.0",
        True,
    )
    tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
    assert (tags["costCentre"], tags["rehost:run"], tags["Name"]) == ("4711", run.id, made["Name"])
    (disk,) = site.control.runs.disks(run.id)
    snapshot = site.aws.ebs.describe(disk.snapshot_id)
    assert snapshot is not None
    assert snapshot.tags["costCentre"] == "4711"

    again = Worker(site).carry_out(job, "again")  # the same name on the same day
    assert image_of(site, again.image_id or "")["Name"].endswith(again.id)


def test_an_import_that_aws_refuses_is_said_in_its_words_and_ours_and_does_not_copy_again(site: Site) -> None:
    site.write(range(5))
    job = site.declare(image=IMPORT)
    worker = Worker(site)
    site.sandbox.fail_imports("ClientError: Unknown OS / Missing OS files.")
    failed = worker.carry_out(job)
    assert failed.state is RunState.FAILED
    assert "ClientError: Unknown OS / Missing OS files." in (failed.message or "")
    assert "conversion: register" in (failed.message or "")
    assert site.owned("image") == []
    (kept,) = site.owned("snapshot")

    sent = puts(site)
    retried = worker.carry_out(job, f"retry {failed.id}")
    assert retried.state is RunState.COMPLETED, retried.message
    assert puts(site) == sent
    assert site.control.runs.disks(retried.id)[0].snapshot_id == kept
    assert site.control.whole_copies.find(retried.id) is not None
    site.assert_image_is_the_disk(job)

    site.write(range(3, 4), seed=2)
    following = worker.carry_out(job, "a new point in time")
    assert following.state is RunState.COMPLETED, following.message
    (disk,) = site.control.runs.disks(following.id)
    assert (disk.parent_snapshot_id, disk.sent_blocks) == (kept, 1)
    site.assert_image_is_the_disk(job)


def test_a_new_point_in_time_after_a_failed_import_builds_on_what_was_copied(site: Site) -> None:
    site.write(range(6))
    job = site.declare(image=IMPORT)
    worker = Worker(site)
    site.sandbox.fail_imports("ClientError: No valid partitions. Not a valid volume.")
    failed = worker.carry_out(job)
    (kept,) = site.control.runs.disks(failed.id)
    site.write(range(2, 3), seed=2)
    asked = worker.carry_out(job, "somebody wants one now")
    assert asked.state is RunState.COMPLETED, asked.message
    (disk,) = site.control.runs.disks(asked.id)
    assert (disk.parent_snapshot_id, disk.sent_blocks) == (kept.snapshot_id, 1)
    site.assert_image_is_the_disk(job)
    assert kept.snapshot_id not in site.owned("snapshot")  # reaped, once a newer copy is whole


def test_another_conversion_makes_another_image_of_the_same_copy(site: Site) -> None:
    site.write(range(2))
    job = site.declare(image=IMPORT)
    worker = Worker(site)
    site.sandbox.fail_imports("ClientError: GRUB doesn't exist in /etc/default")
    failed = worker.carry_out(job)
    assert "boot loader" in (failed.message or "")
    sent = puts(site)
    site.declare(image=REGISTER)
    retried = worker.carry_out(job, "retry")
    assert (retried.state, puts(site)) == (RunState.COMPLETED, sent)
    site.assert_image_is_the_disk(job)


def test_a_fault_of_awss_own_in_an_import_is_tried_again_by_itself(site: Site) -> None:
    site.write(range(2))
    job = site.declare(image=IMPORT)
    site.sandbox.fail_imports("ServerError: an internal error has occurred during conversion.", count=2)
    run = Worker(site).carry_out(job)
    assert run.state is RunState.COMPLETED, run.message
    assert len(site.owned("image")) == 1


def test_an_aws_that_is_away_for_long_costs_no_second_copy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    site.write(range(4))
    job = site.declare()
    time = FastPatience()
    site.sandbox.fault(
        action="error", service="ec2", operation="RegisterImage", status=503, code="Unavailable", count=40
    )
    before = puts(site)
    run = Worker(site, time.patience()).carry_out(job)
    assert run.state is RunState.COMPLETED, run.message
    assert time.slept
    assert puts(site) - before == 4


def test_an_aws_that_stays_away_fails_the_run_and_its_copy_is_used_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    site.write(range(4))
    job = site.declare()
    worker = Worker(site, FastPatience().patience(aws=30.0))
    site.sandbox.fault(action="throttle", service="ec2", operation="RegisterImage")
    failed = worker.carry_out(job)
    assert failed.state is RunState.FAILED
    assert "RegisterImage: AWS kept throttling" in (failed.message or "")
    site.sandbox.clear_faults()
    sent = puts(site)
    assert worker.carry_out(job, "retry").state is RunState.COMPLETED
    assert puts(site) == sent


def test_copies_and_shares_come_and_go_with_the_spec(site: Site) -> None:
    home, away = client(site, "kms"), client(site, "kms", "eu-west-1")
    keys = {region: kms.create_key()["KeyMetadata"] for region, kms in (("home", home), ("away", away))}
    site.write(range(3))
    image = REGISTER | {
        "encrypt": True,
        "kmsKey": keys["home"]["KeyId"],
        "copies": {"eu-west-1": {"kmsKey": keys["away"]["Arn"]}},
        "shareWith": ["210987654321"],
    }
    job = site.declare(image=image, tags={"costCentre": "4711"})
    worker = Worker(site)
    run = worker.carry_out(job)
    assert run.state is RunState.COMPLETED, run.message
    (known,) = site.control.images.list(job.id)
    assert known.copies is not None
    copy = known.copies["eu-west-1"]
    there = client(site, "ec2", "eu-west-1")
    snapshot = there.describe_snapshots(SnapshotIds=copy["snapshot_ids"])["Snapshots"][0]
    assert (snapshot["Encrypted"], snapshot["KmsKeyId"]) == (True, keys["away"]["Arn"])
    assert {"Key": "costCentre", "Value": "4711"} in snapshot["Tags"]
    for region, image_id in (("eu-central-1", known.image_id), ("eu-west-1", copy["image_id"])):
        shown = client(site, "ec2", region).describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
        assert [each["UserId"] for each in shown["LaunchPermissions"]] == ["210987654321"]
    for kms, key in ((home, keys["home"]), (away, keys["away"])):
        (grant,) = kms.list_grants(KeyId=key["KeyId"])["Grants"]
        assert grant["GranteePrincipal"] == "arn:aws:iam::210987654321:root"

    site.declare(image=REGISTER | {"encrypt": True, "kmsKey": keys["home"]["KeyId"]})
    assert worker.carry_out(job, "again").state is RunState.COMPLETED
    shown = client(site, "ec2").describe_image_attribute(ImageId=known.image_id, Attribute="launchPermission")
    assert shown["LaunchPermissions"] == []
    assert home.list_grants(KeyId=keys["home"]["KeyId"])["Grants"] == []
    assert away.list_grants(KeyId=keys["away"]["KeyId"])["Grants"] == []
    ours = [{"Name": "tag:rehost:stack", "Values": [site.stack]}]
    assert there.describe_images(Owners=["self"], Filters=ours)["Images"] == []
    assert there.describe_snapshots(OwnerIds=["self"], Filters=ours)["Snapshots"] == []


def test_what_a_failed_run_copied_is_kept_for_a_day_and_no_longer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.write(range(2))
    job = site.declare(image=IMPORT)
    worker = Worker(site)
    site.sandbox.fail_imports("ClientError: Unknown OS / Missing OS files.")
    failed = worker.carry_out(job)
    sources = {"exports"}
    assert sweep(site.control, lambda _job: site.aws, sources) == []
    (kept,) = site.owned("snapshot")
    monkeypatch.setattr(_retention, "HOLD", timedelta(0))
    assert sweep(site.control, lambda _job: site.aws, {"another"}) == []
    assert sweep(site.control, lambda _job: site.aws, sources) == [kept]
    assert site.owned("snapshot") == []
    retried = worker.carry_out(job, f"retry {failed.id}")  # too late for that: it copies again
    assert retried.state is RunState.COMPLETED, retried.message
    site.assert_image_is_the_disk(job)


def test_an_import_that_ends_after_its_run_has_failed_is_reaped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    site.write(range(2))
    job = site.declare(image=IMPORT)
    worker = Worker(site, FastPatience().patience(aws=10.0))
    # The task goes on in AWS while nobody can ask how it does.
    site.sandbox.fault(action="error", service="ec2", operation="DescribeImportImageTasks", status=500)
    failed = worker.carry_out(job)
    assert failed.state is RunState.FAILED
    site.sandbox.clear_faults()
    (task,) = site.aws.imports.owned({"rehost:stack": site.stack})
    site.wait(lambda: site.aws.imports.progress(task.id).is_completed)
    image_id = site.aws.imports.progress(task.id).image_id or ""
    view = site.aws.images.describe(image_id)
    assert view is not None
    assert view.tags == {}
    sweep(site.control, lambda _job: site.aws, None)
    assert site.aws.images.describe(image_id) is None
    assert site.aws.ebs.describe(view.snapshot_ids[0]) is None


def test_images_that_somebody_would_launch_from_outlive_retention_and_the_job(site: Site) -> None:
    site.write(range(2))
    job = site.declare(schedule={"run_once": True, "keep_images": 1})
    worker = Worker(site)
    images = [worker.carry_out(job, str(number)).image_id or "" for number in range(1)]
    ec2, scaling = client(site, "ec2"), client(site, "autoscaling")
    data = {"ImageId": images[0], "InstanceType": "t3.micro"}
    template = ec2.create_launch_template(LaunchTemplateName=site.stack, LaunchTemplateData=data)["LaunchTemplate"]
    images.append(worker.carry_out(job, "second").image_id or "")
    scaling.create_launch_configuration(LaunchConfigurationName=site.stack, ImageId=images[1], InstanceType="t3.micro")
    images.append(worker.carry_out(job, "third").image_id or "")
    assert set(site.owned("image")) == set(images)
    said: list[str] = []
    remove_job(site.control, site.aws, job.id, on_progress=lambda line: said.append(str(line)))
    assert set(site.owned("image")) == set(images[:2])
    assert len(said) == 2
    ec2.delete_launch_template(LaunchTemplateId=template["LaunchTemplateId"])
    scaling.delete_launch_configuration(LaunchConfigurationName=site.stack)


def test_too_many_disks_for_an_import_are_found_before_a_byte_moves(site: Site) -> None:
    names = [f"disk-{number:02}.raw" for number in range(22)]
    for name in names:
        with (site.disk.parent / name).open("wb") as file:
            file.truncate(1 << 20)
    job = site.declare(image=IMPORT, locator={"disks": names})
    before = site.sandbox.calls().get("ebs.StartSnapshot", 0)
    run = Worker(site).carry_out(job)
    assert run.state is RunState.FAILED
    assert "the server has 22 disks; VM import takes at most 21" in (run.message or "")
    assert site.sandbox.calls().get("ebs.StartSnapshot", 0) == before


def test_a_quota_that_is_reached_is_said_in_awss_words(site: Site) -> None:
    site.write(range(2))
    job = site.declare(image=IMPORT)
    site.sandbox.fault(
        action="error",
        service="ec2",
        operation="ImportImage",
        status=400,
        code="ResourceCountLimitExceeded",
        message="You have reached the limit of 20 active import tasks.",
        count=1,
    )
    run = Worker(site).carry_out(job)
    assert run.state is RunState.FAILED
    assert "the limit of 20 active import tasks" in (run.message or "")
    assert "Service Quotas" in (run.message or "")


def test_a_stack_that_moves_to_another_region_leaves_nothing_in_the_old_one(site: Site) -> None:
    site.write(range(2))
    keep_one = {"run_once": True, "keep_images": 1}
    job = site.declare(schedule=keep_one)
    worker = Worker(site)
    first = worker.carry_out(job)
    site.declare(schedule=keep_one, aws={"region": "eu-west-1", "endpoint": site.sandbox.endpoint})
    second = worker.carry_out(job, "again")
    assert second.state is RunState.COMPLETED, second.message
    assert site.owned("image") == site.owned("snapshot") == []
    assert site.aws.images.describe(first.image_id or "") is None
    there = site.aws.in_region("eu-west-1")
    assert [each.kind for each in there.list_owned(site.stack)] == ["image", "snapshot"]
    remove_job(site.control, there, job.id, on_progress=lambda _: None)
    assert there.list_owned(site.stack) == []
