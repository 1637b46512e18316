"""`rehost restore`: a snapshot into a sparse file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rehost.blocks import BLOCK_SIZE
from rehost.cli._plain import Meter, add_aws_options, run, stopped_by_signals
from rehost.text import size

HELP = "Write one EBS snapshot into a sparse file: the way back out of AWS."
_EXAMPLE = "Example: rehost restore snap-0123456789abcdef0 web-01.raw"
_ABOUT = f"{HELP} Each block is checked against its checksum; the file appears once it is whole."


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("rehost restore", description=_ABOUT, epilog=_EXAMPLE, allow_abbrev=False)
    parser.add_argument("snapshot", help="the snapshot's id")
    parser.add_argument("file", type=Path, help="the raw image to write, as large as the volume")
    parser.add_argument("--force", action="store_true", help="replace the file where it exists")
    add_aws_options(parser)
    given = parser.parse_args(arguments)
    return run(lambda: _restore(given))


def _restore(given: argparse.Namespace) -> int:
    from rehost.aws import Aws, AwsSettings
    from rehost.snapshots import restore_snapshot

    aws = Aws(AwsSettings(given.region, given.profile, given.endpoint))
    with Meter("restored") as meter, stopped_by_signals() as stop:
        done = restore_snapshot(
            given.snapshot,
            given.file,
            aws.ebs,
            force=given.force,
            in_flight=given.in_flight,
            stop=stop,
            on_progress=lambda now: meter.tell(now.blocks_done, None, now.blocks_done * BLOCK_SIZE),
        )
    print(f"{given.file}: {done.blocks_done} blocks, {size(done.bytes_written)} of data", file=sys.stderr)
    return 0
