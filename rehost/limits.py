"""Limits of AWS that several parts have to know: plain data, like `rehost/blocks.py`."""

from __future__ import annotations

#: VM Import/Export user guide, "Limitations for resources": the root disk and 20 more.
IMPORT_DISKS = 21
#: VM Import/Export user guide, "Volume types and file systems": bytes; a disk image is smaller than 16 TiB.
IMPORT_BYTES = 16 << 40
#: EBS user guide, "EBS volume constraints": bytes of the largest volume, of type gp3 or io2 (StartSnapshot: 65,536 GiB).
VOLUME_BYTES = 65_536 << 30

#: What an image's volumes are unless a launch config says otherwise, by the image's conversion: rehost says gp3 as it
#: registers one, and VM import makes gp2 (DescribeImages of an imported image, `Ebs.VolumeType`).
DEFAULT_VOLUME = {"register": "gp3", "import": "gp2"}
