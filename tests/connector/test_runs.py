"""Runs from the first to the retired one, by a connector process over a real disk."""

from __future__ import annotations

from rehost.control import JobState, RunState

from .conftest import MIB, Site


def test_a_first_run_makes_an_image_of_the_disk_and_sends_only_its_data(site: Site) -> None:
    site.write(range(0, 400, 4))
    job = site.declare()
    assert site.work() == 0
    run = site.run(job)
    assert run.state is RunState.COMPLETED, run.message
    (disk,) = site.control.runs.disks(run.id)
    assert disk.sent_blocks == 100
    assert site.control.jobs.get(job.id).state is JobState.COMPLETED  # it runs once
    site.assert_image_is_the_disk(job)


def test_the_next_run_sends_what_changed_and_what_became_zero(site: Site) -> None:
    site.write(range(40))
    job = site.declare()
    site.work()
    site.write(range(3, 5), seed=2)
    with site.disk.open("r+b") as file:  # block 7 becomes zero
        file.seek(7 * 512 * 1024)
        file.write(bytes(512 * 1024))
    site.control.runs.request(job.id, token="again")
    site.work()
    first, second = reversed(site.control.runs.list(job.id))
    (before,), (after,) = site.control.runs.disks(first.id), site.control.runs.disks(second.id)
    assert after.parent_snapshot_id == before.snapshot_id
    assert after.sent_blocks == 3
    site.assert_image_is_the_disk(job)


def test_an_unchanged_disk_is_not_even_read(site: Site) -> None:
    site.write(range(10))
    job = site.declare()
    site.work()
    site.control.runs.request(job.id, token="again")
    site.work()
    (disk,) = site.control.runs.disks(site.run(job).id)
    assert (disk.sent_blocks, disk.read_bytes) == (0, 0)
    site.assert_image_is_the_disk(job)


def test_a_grown_disk_is_read_whole_and_only_its_changes_are_sent(site: Site) -> None:
    site.write(range(10), size=64 * MIB)
    job = site.declare()
    site.work()
    site.write(range(200, 202), size=128 * MIB)
    site.control.runs.request(job.id, token="again")
    site.work()
    (disk,) = site.control.runs.disks(site.run(job).id)
    assert (disk.size, disk.sent_blocks) == (128 * MIB, 2)
    site.assert_image_is_the_disk(job)


def test_a_lost_manifest_costs_a_full_copy_and_nothing_else(site: Site) -> None:
    site.write(range(10))
    job = site.declare()
    site.work()
    for manifest in (site.folder / "state" / "manifests").iterdir():
        content = bytearray(manifest.read_bytes())
        content[len(content) // 2] ^= 1
        manifest.write_bytes(content)
    site.control.runs.request(job.id, token="again")
    site.work()
    (disk,) = site.control.runs.disks(site.run(job).id)
    assert (disk.parent_snapshot_id, disk.sent_blocks) == (None, 10)
    site.assert_image_is_the_disk(job)


def test_retention_keeps_the_newest_images_and_their_snapshots(site: Site) -> None:
    site.write(range(2))
    job = site.declare(schedule={"run_once": True, "keep_images": 2})
    for number in range(4):
        site.write(range(number + 2, number + 3))
        site.control.runs.request(job.id, token=f"run {number}")
        site.work()
    standing = site.control.images.list(job.id)
    assert len(standing) == 2
    assert sorted(site.owned("image")) == sorted(image.image_id for image in standing)
    assert sorted(site.owned("snapshot")) == sorted(snapshot for image in standing for snapshot in image.snapshot_ids)
    site.assert_image_is_the_disk(job)


def test_a_pinned_image_outlives_retention(site: Site) -> None:
    site.write(range(2))
    job = site.declare(schedule={"run_once": True, "keep_images": 1})
    site.work()
    (first,) = site.control.images.list(job.id)
    site.control.images.pin(first.image_id, "a spec")
    site.control.runs.request(job.id, token="again")
    site.work()
    assert first.image_id in site.owned("image")
    assert len(site.owned("image")) == 2


def test_encryption_turned_on_begins_a_chain_of_its_own(site: Site) -> None:
    site.write(range(5))
    job = site.declare()
    site.work()
    site.declare(image={"conversion": "register", "encrypt": True, "architecture": "x86_64", "bootMode": "auto"})
    site.control.runs.request(job.id, token="again")
    site.work()
    (disk,) = site.control.runs.disks(site.run(job).id)
    assert (disk.parent_snapshot_id, disk.sent_blocks) == (None, 5)
    view = site.aws.ebs.describe(disk.snapshot_id)
    assert view is not None
    assert view.encrypted
