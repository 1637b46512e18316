"""`rehost upload`: one image file becomes one snapshot, without a spec or a database."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rehost.cli._plain import Meter, add_aws_options, run, stopped_by_signals
from rehost.rates import bytes_per_second

HELP = "Make one EBS snapshot of one disk image and print its id."
_EXAMPLE = "Example: rehost upload exports/web-01.raw --wait"
_ABOUT = f"""{HELP} Holes and zeros are not sent; with --parent only blocks that differ from the parent are. What goes wrong
leaves no snapshot behind. The id is all that goes to standard output."""


def main(arguments: Sequence[str]) -> int:
    given = _parser().parse_args(arguments)
    return run(lambda: _upload(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("rehost upload", description=_ABOUT, epilog=_EXAMPLE, allow_abbrev=False)
    parser.add_argument("file", type=Path, help="the disk image")
    encryption = parser.add_mutually_exclusive_group()
    encryption.add_argument("--parent", metavar="SNAPSHOT", help="send only what differs from this snapshot")
    encryption.add_argument("--encrypt", action="store_true", help="encrypt with the account's default EBS key")
    encryption.add_argument("--kms-key", metavar="KEY", help="encrypt with this key: id, alias or ARN")
    parser.add_argument("--description", help="of the snapshot; default: the file's name")
    parser.add_argument("--tag", action="append", default=[], type=_tag, metavar="KEY=VALUE", help="may be repeated")
    parser.add_argument("--throttle", type=_rate, metavar="RATE", help="send no faster: `50 MiB/s`, `400 Mbit/s`")
    parser.add_argument("--wait", action="store_true", help="return once EC2 calls the snapshot completed")
    parser.add_argument(
        "--manifests",
        type=Path,
        metavar="FOLDER",
        help="where it is remembered what each snapshot holds; default: rehost/manifests in XDG_STATE_HOME (~/.local/state)",
    )
    add_aws_options(parser)
    return parser


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _rate(text: str) -> float:
    try:
        return bytes_per_second(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _upload(given: argparse.Namespace) -> int:
    from rehost.aws import Aws, AwsSettings
    from rehost.snapshots import ManifestFolder, UploadRequest, default_folder, upload_image

    aws = Aws(AwsSettings(given.region, given.profile, given.endpoint))
    request = UploadRequest(
        file=given.file,
        parent=given.parent,
        description=given.description,
        tags=dict(given.tag),
        encrypted=given.encrypt or given.kms_key is not None,
        kms_key_arn=aws.preflight.key_arn(given.kms_key) if given.kms_key else None,
        in_flight=given.in_flight,
        throttle=given.throttle,
    )
    with Meter("sent") as meter, stopped_by_signals() as stop:
        snapshot_id = upload_image(
            request,
            aws.ebs,
            ManifestFolder(given.manifests or default_folder()),
            stop=stop,
            on_progress=lambda now: meter.tell(now.blocks_done, now.blocks_total, now.sent_bytes),
            on_note=meter.note,
        )
    print(snapshot_id, flush=True)
    if given.wait:
        aws.ebs.wait_completed(snapshot_id)
    return 0
