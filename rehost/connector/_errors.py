"""What the connector itself can report.

RehostError
└── ConnectorError
    ├── RunCancelled          its job was ended, or somebody asked it to stop
    ├── RunStillActive        retryable: a run goes on although it was asked to stop
    ├── ConnectorNotStarted   retryable: the embedded connector did not come up
    ├── ImportFailed          AWS ended a VM import task without an image
    ├── DeliveryFailed        retryable: a webhook did not take a notification
    ├── ImageImpossible       what preflight found: a role, a key, too many disks
    ├── CopyIncomplete        a run came to its image before its disks were complete
    └── NothingToVerify       a server has no completed run
"""

from __future__ import annotations

from rehost.errors import RehostError


class ConnectorError(RehostError):
    """Root of this package's errors."""


class RunCancelled(ConnectorError):
    template = "run {run} was cancelled"


class RunStillActive(ConnectorError):
    template = (
        "run {run} has not stopped within {seconds:.0f} s; connector {connector} still works on it. Try again, or stop the "
        "connector: `rehost status` shows its process"
    )
    retryable = True


class ConnectorNotStarted(ConnectorError):
    template = "the connector did not start: {reason}; its log is {log}"
    retryable = True


class ImportFailed(ConnectorError):
    template = "VM import task {task} ended without an image: {reason}. What to do: {advice}"


class ImageImpossible(ConnectorError):
    template = "no image can be made: {problems}"


class CopyIncomplete(ConnectorError):
    template = "run {run} has no whole copy to make an image of; start another one"


class DeliveryFailed(ConnectorError):
    template = "the webhook at {where} did not take a notification: {reason}"
    retryable = True


class NothingToVerify(ConnectorError):
    template = "{server} has no completed run to verify; make one with `rehost run {server}`"
