"""Images in further regions and for further accounts, as the spec says; undone where it no longer does.

What is about to be made or shared is recorded in the control plane before AWS is asked, so that a crash leaves nothing
that retention does not know of.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import structlog

from rehost.aws import RUN_TAG, SERVER_TAG, STACK_TAG, Aws
from rehost.connector._image_settings import settings_of
from rehost.control import ControlPlane, Image, Job

log = structlog.get_logger("rehost.connector")

Copied = dict[str, dict[str, Any]]  # region -> {image_id, snapshot_ids}


def copy_image(
    control: ControlPlane,
    aws: Aws,
    job: Job,
    image_id: str,
    *,
    tags: Mapping[str, str],
    on_progress: Callable[[str], None],
) -> Copied:
    """Copy the image into each region that the spec names, and wait for all of them. A retry finds what is there.

    Raises AwsError.
    """
    settings = settings_of(job)
    wanted = {region: key for region, key in settings.copies.items() if region != aws.region}
    view = aws.images.describe(image_id)
    if not wanted or view is None:
        return {}
    begun = {}
    for region, key in wanted.items():
        on_progress(f"copy to {region}")
        control.spreading.touch(job.id, region)
        there = aws.in_region(region)
        begun[region] = there.copies.copy(
            image_id,
            from_region=aws.region,
            name=view.name,
            description=settings.description(job, tags[RUN_TAG]),
            tags=tags,
            encrypted=settings.encrypt,
            kms_key_arn=there.preflight.key_arn(key) if key else None,
        )
    copied: Copied = {}
    for region, copy_id in begun.items():
        on_progress(f"waiting for the copy in {region}")
        made = aws.in_region(region).images.wait_available(copy_id)
        copied[region] = {"image_id": copy_id, "snapshot_ids": list(made.snapshot_ids)}
    return copied


def share_image(control: ControlPlane, aws: Aws, job: Job, image_id: str, copied: Mapping[str, Any]) -> None:
    """Let the accounts that the spec names use the image, its copies and their keys. A retry is safe. Raises AwsError."""
    accounts = settings_of(job).accounts
    for account in accounts:
        control.spreading.share(image_id, account)
    for there, each in _places(aws, image_id, copied):
        there.sharing.share(each, accounts, stack=job.spec.stack)
        if key := _key_of(there, each):
            for account in accounts:
                control.spreading.grant(job.id, there.region, key, account)
                there.sharing.grant(key, account, _grant_name(job))


def settle(control: ControlPlane, aws: Aws, job: Job) -> list[str]:
    """Make the job's standing images agree with its spec: accounts and regions that it no longer names lose them.

    Accounts that it names since are added to all standing images; a new region gets copies from the next run on. Returns
    what was done, a line each. A retry is safe. Raises AwsError.
    """
    settings = settings_of(job)
    wanted = set(settings.accounts)
    done: list[str] = []
    for image in control.images.list(job.id):
        done += _drop_copies(control, aws, job, image, keep=set(settings.copies))
        copied = _copied(control, image)
        shared = control.spreading.accounts(image.image_id)
        if shared - wanted:
            unshare(control, aws, job, image.image_id, copied, shared - wanted)
            done.append(f"image {image.image_id} is no longer shared with {', '.join(sorted(shared - wanted))}")
        if wanted - shared:
            share_image(control, aws, job, image.image_id, copied)
            done.append(f"image {image.image_id} is shared with {', '.join(sorted(wanted - shared))}")
    revoke_unneeded(control, aws, job)
    return done


def revoke_unneeded(control: ControlPlane, aws: Aws, job: Job) -> None:
    """Take the keys back from accounts that no standing image of the job needs them for. A retry is safe."""
    granted = control.spreading.grants(job.id)
    if not granted:
        return
    needed = set()
    for image in control.images.list(job.id):
        for account in control.spreading.accounts(image.image_id):
            for there, each in _places(aws, image.image_id, image.copies or {}):
                if key := _key_of(there, each):
                    needed.add((there.region, key, account))
    for region, key, account in sorted(granted - needed):
        aws.in_region(region).sharing.revoke(key, account, _grant_name(job))
        control.spreading.ungrant(job.id, region, key, account)


def unshare(
    control: ControlPlane, aws: Aws, job: Job, image_id: str, copied: Mapping[str, Any], accounts: set[str]
) -> None:
    """Take the image and its copies back from accounts; the keys are `revoke_unneeded`'s."""
    for there, each in _places(aws, image_id, copied):
        there.sharing.unshare(each, sorted(accounts), stack=job.spec.stack)
    for account in accounts:
        control.spreading.unshare(image_id, account)


def remove_image(there: Aws, job: Job, image_id: str, snapshot_ids: Iterable[str]) -> list[str]:
    """Deregister an image of ours and delete its snapshots: those that it names, and the given ones, which are returned
    together. What is gone is no error. Raises `NotOurs`.
    """
    held = there.images.deregister(image_id, stack=job.spec.stack)
    snapshots = list(dict.fromkeys((*held, *snapshot_ids)))
    for snapshot in snapshots:
        there.ebs.delete(snapshot, stack=job.spec.stack)
    return snapshots


def copy_tags(job: Job, run_id: str) -> dict[str, str]:
    """The tags of whatever a run makes: by them it is found again."""
    spec = job.spec
    return {"Name": spec.server, **spec.tags, STACK_TAG: spec.stack, SERVER_TAG: spec.server, RUN_TAG: run_id}


def _drop_copies(control: ControlPlane, aws: Aws, job: Job, image: Image, keep: set[str]) -> list[str]:
    done = []
    for region, copy in dict(image.copies or {}).items():
        there = aws.in_region(region)
        if region in keep:
            continue
        if there.images.in_use([copy["image_id"]]):
            done.append(f"the copy {copy['image_id']} in {region} stays: somebody uses it")
            continue
        remove_image(there, job, copy["image_id"], copy["snapshot_ids"])
        left = {key: value for key, value in _copied(control, image).items() if key != region}
        control.images.set_copies(image.image_id, left)
        done.append(f"the copy {copy['image_id']} in {region} is removed")
    return done


def _copied(control: ControlPlane, image: Image) -> Mapping[str, Any]:
    now = control.images.find(image.image_id)
    return dict(now.copies or {}) if now else {}


def _places(aws: Aws, image_id: str, copied: Mapping[str, Any]) -> Iterator[tuple[Aws, str]]:
    yield aws, image_id
    for region, copy in copied.items():
        yield aws.in_region(region), copy["image_id"]


def _key_of(there: Aws, image_id: str) -> str | None:
    """The key that encrypts an image's snapshots; None where none does, or the image is gone."""
    view = there.images.describe(image_id)
    for snapshot in view.snapshot_ids if view else ():
        found = there.ebs.describe(snapshot)
        if found is not None and found.kms_key_id:
            return found.kms_key_id
    return None


def _grant_name(job: Job) -> str:
    """Of a server's grants. KMS takes letters, digits and ``:/_-``, so what else a name has is told apart by a digest."""
    plain = f"rehost/{job.spec.stack}/{job.spec.server}"
    digest = hashlib.sha256(plain.encode()).hexdigest()[:12]
    return re.sub(r"[^a-zA-Z0-9:/_-]", "_", plain)[:240] + "-" + digest
