"""From a spec's entry of a source to the source."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rehost.sources._errors import SourceConfigInvalid
from rehost.sources._images import ImagesSource
from rehost.sources._protocol import Source
from rehost.sources.qemu import QemuSource


def _vsphere(config: Mapping[str, Any], base: Path) -> Source:
    # Only here: pyVmomi builds thousands of classes when it is imported, which takes longer than most commands.
    from rehost.sources.vsphere import VSphereSource

    return VSphereSource(config, base=base)


def _hyperv(config: Mapping[str, Any], base: Path) -> Source:
    # Only here: pypsrp and what it speaks WinRM with take longer to import than most commands run.
    from rehost.sources.hyperv import HyperVSource

    return HyperVSource(config, base=base)


def _azure(config: Mapping[str, Any], base: Path) -> Source:
    # Only here: azure-core and azure-identity take a third of a second and 40 MiB.
    from rehost.sources.azure import AzureSource

    return AzureSource(config, base=base)


#: The `type` of a source in the spec -> what makes it from its entry; relative paths are relative to `base`.
_TYPES: Mapping[str, Callable[[Mapping[str, Any], Path], Source]] = {
    "images": lambda config, base: ImagesSource(config, base=base),
    "qemu": lambda config, base: QemuSource(config, base=base),
    "vsphere": _vsphere,
    "hyperv": _hyperv,
    "azure": _azure,
}

SOURCE_TYPES = tuple(_TYPES)


def open_source(config: Mapping[str, Any], *, base: Path) -> Source:
    """The source of a spec's entry, e.g. `{type: images, path: exports}`. Reaches nothing yet.

    `base` is the folder that relative paths of the entry are relative to. Raises SourceConfigInvalid.
    """
    kind = str(config.get("type"))
    if kind not in _TYPES:
        near = difflib.get_close_matches(kind, _TYPES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_TYPES)}"
        raise SourceConfigInvalid(detail=f"there is no source type {kind!r}; {hint}")
    return _TYPES[kind](config, base)
