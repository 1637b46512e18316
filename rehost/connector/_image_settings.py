"""A job's image settings as the spec has them, and what they come to in AWS's words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from rehost import image_names
from rehost.control import Job

_BOOT_MODES = {"bios": "legacy-bios", "uefi": "uefi", "uefi-preferred": "uefi-preferred"}
_LICENSES = {"aws": "AWS", "byol": "BYOL"}
_PLATFORMS = {"linux": "Linux", "windows": "Windows"}
#: What an image is spread by, after it was made: a change of these needs no other image.
_SPREADING = ("copies", "shareWith", "run")


class ImageSettings:
    """Reads `JobSpec.image`; see `$defs/image` of the spec's schema."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    @property
    def is_import(self) -> bool:
        return bool(self._values.get("conversion", "import") == "import")

    @property
    def encrypt(self) -> bool:
        return bool(self._values.get("encrypt"))

    @property
    def kms_key(self) -> str | None:
        return self._values.get("kmsKey") or None

    @property
    def role(self) -> str:
        return str(self._values.get("role") or "vmimport")

    @property
    def architecture(self) -> str:
        return str(self._values.get("architecture") or "x86_64")

    @property
    def boot_mode(self) -> str | None:
        return _BOOT_MODES.get(self._values.get("bootMode") or "auto")

    @property
    def license_type(self) -> str | None:
        return _LICENSES.get(self._values.get("license") or "auto")

    @property
    def platform(self) -> str | None:
        return _PLATFORMS.get(self._values.get("platform") or "auto")

    @property
    def ena(self) -> bool:
        return self._values.get("ena") is not False

    @property
    def imdsv2(self) -> bool:
        return bool(self._values.get("imdsv2") == "required")

    @property
    def tpm(self) -> bool:
        return bool(self._values.get("tpm"))

    @property
    def uefi_data(self) -> str | None:
        return self._values.get("uefiData") or None

    @property
    def copies(self) -> dict[str, str | None]:
        """The key of each further region; None is that region's default one."""
        return {region: (each or {}).get("kmsKey") for region, each in (self._values.get("copies") or {}).items()}

    @property
    def accounts(self) -> list[str]:
        return list(self._values.get("shareWith") or ())

    @property
    def key(self) -> str:
        """A digest of everything that a made image depends on: with another one, another image has to be made."""
        made_with = {name: value for name, value in self._values.items() if name not in _SPREADING}
        return hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()

    def names(self, job: Job, run_id: str, at: Any) -> tuple[str, str]:
        """The image's name, and the one to take if that is taken. `at` is the point in time."""
        spec = job.spec
        values = image_names.values_of(
            application=spec.application, server=spec.server, stack=spec.stack, run=run_id, at=at
        )
        return image_names.render(self._values.get("name") or "rehost/{stack}/{server}/{run}", values)

    @property
    def has_name(self) -> bool:
        return bool(self._values.get("name"))

    def description(self, job: Job, run_id: str) -> str:
        return str(self._values.get("description") or f"{job.spec.server}, {run_id}")


def settings_of(job: Job) -> ImageSettings:
    return ImageSettings(job.spec.image)
