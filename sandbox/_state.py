"""What moto knows, kept across restarts: its backends for EC2, KMS and IAM, pickled beside the snapshots.

Snapshots need none of this: the store is their truth. Images, instances, keys and roles live in moto's memory alone, so they are
written after calls that change something, at most once in a while, and at the end.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from moto.ssm.models import ParameterDict

from sandbox._ec2 import Ec2
from sandbox._requests import service_backends

SERVICES = ("ec2", "kms", "iam", "sns", "ssm", "autoscaling")
PAUSE = 1.0  # seconds between two writes, at least


_KEYS = get_args(PrivateKeyTypes)


def _private_key(encoded: bytes) -> PrivateKeyTypes:
    """pickle names functions by their module, and that of cryptography's own cannot be imported."""
    return load_der_private_key(encoded, None)


def _tags() -> defaultdict[str, dict[str, str]]:
    """What moto's SSM makes for a new kind of resource, by a lambda of its own that pickle cannot name."""
    return defaultdict(dict)


def _tags_factory() -> Callable[[], defaultdict[str, dict[str, str]]]:
    return _tags


class _Pickler(pickle.Pickler):
    """Takes the key pairs behind moto's KMS keys, which belong to cryptography and refuse to be pickled, and a lambda of moto's SSM."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, _KEYS):
            encoded = value.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            return _private_key, (encoded,)
        if getattr(value, "__qualname__", "") == "SimpleSystemManagerBackend.__init__.<locals>.<lambda>":
            return _tags_factory, ()
        if type(value) is ParameterDict:
            # It has a constructor of its own, which pickle's way with dictionaries passes nothing to.
            plain = dict.items(value)
            return ParameterDict, (value.account_id, value.region_name), dict(value.__dict__), None, iter(list(plain))
        return NotImplemented


class SavedState:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def touch(self, ec2: Ec2) -> None:
        """Something may have changed: write soon."""
        with self._lock:
            if self._timer is None:
                self._timer = threading.Timer(PAUSE, self._late, (ec2,))
                self._timer.daemon = True
                self._timer.start()

    def save(self, ec2: Ec2) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            content = self._pickled(ec2)
            if content is not None:
                scratch = self.path.with_suffix(".part")
                scratch.write_bytes(content)
                scratch.replace(self.path)

    def load(self, ec2: Ec2) -> None:
        """Bring back what an earlier life saved, then show moto every snapshot of the store."""
        with contextlib.suppress(FileNotFoundError):
            saved: dict[str, Any] = pickle.loads(self.path.read_bytes())
            for service in SERVICES:
                service_backends(service).update(saved[service])
            ec2.imports.tasks.update(saved["tasks"])
            ec2.copied.update(saved["copied"])
            ec2.launches.update(saved["launches"])
        for backend in service_backends("ec2").values():
            for snapshot_id in [key for key, value in backend.snapshots.items() if hasattr(value, "stored")]:
                del backend.snapshots[snapshot_id]
        for snapshot in ec2.store.snapshots.values():
            if not snapshot.meta.deleted:
                ec2.show(snapshot)

    def _late(self, ec2: Ec2) -> None:
        with self._lock:
            self._timer = None
        self.save(ec2)

    def _pickled(self, ec2: Ec2) -> bytes | None:
        """None while another thread is changing a dictionary: the next call that changes something writes again."""
        for _ in range(5):
            try:
                state: dict[str, Any] = {service: dict(service_backends(service)) for service in SERVICES}
                target = io.BytesIO()
                ours = {"tasks": ec2.imports.tasks, "copied": ec2.copied, "launches": ec2.launches}
                _Pickler(target).dump(state | ours)
                return target.getvalue()
            except RuntimeError:
                time.sleep(0.01)
        return None
