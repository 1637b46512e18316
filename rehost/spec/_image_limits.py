"""What AWS would refuse of an image, as far as the spec alone tells."""

from __future__ import annotations

from collections.abc import Iterator

from rehost import image_names
from rehost.limits import IMPORT_DISKS
from rehost.spec._findings import Finding, short
from rehost.spec._merge import Merged

#: Keys of `image` that only one conversion has.
_IMPORT_ONLY = ("license", "role", "platform")
_REGISTER_ONLY = ("tpm", "uefiData", "ena")
_DEFAULTS = {"tpm": False, "ena": True}


def findings(spec: Merged) -> Iterator[Finding]:
    for server in spec.names("servers"):
        if (spec.text("servers", server, "image", "conversion") or "import") == "register":
            yield from _only(spec, server, _IMPORT_ONLY, "import-only", "conversion: register", "conversion: import")
            yield from _firmware(spec, server)
        else:
            yield from _only(
                spec, server, _REGISTER_ONLY, "register-only", "conversion: import", "conversion: register"
            )
            yield from _import(spec, server)
        yield from _encryption(spec, server)
        yield from _name(spec, server)
        yield from _sharing(spec, server)


def _only(
    spec: Merged, server: str, keys: tuple[str, ...], rule: str, conversion: str, other: str
) -> Iterator[Finding]:
    image = ("servers", server, "image")
    for key in keys:
        if spec.get(*image, key) not in (None, _DEFAULTS.get(key, "auto")):
            message = f"{key} has no effect on {conversion}"
            yield Finding.at(spec.place(*image, key), rule, message, f"leave it out, or use {other}")


def _import(spec: Merged, server: str) -> Iterator[Finding]:
    image = ("servers", server, "image")
    if spec.text(*image, "architecture") == "arm64":
        message = "VM import takes no arm64 machines"
        yield Finding.at(spec.place(*image, "architecture"), "import-limit", message, "use conversion: register")
    mode = spec.text(*image, "bootMode")
    if mode == "uefi-preferred":
        message = "VM import does not know bootMode: uefi-preferred"
        yield Finding.at(
            spec.place(*image, "bootMode"), "import-limit", message, "use bios or uefi, or conversion: register"
        )
    if mode == "uefi" and spec.text(*image, "platform") in (None, "auto") and not spec.is_wrong(*image, "platform"):
        message = "VM import has to be told the platform of a UEFI machine"
        yield Finding.at(spec.place(*image, "bootMode"), "import-limit", message, "add platform: linux or windows")
    if len(spec.texts("servers", server, "locator", "disks")) > IMPORT_DISKS:
        where = spec.place("servers", server, "locator", "disks")
        message = f"VM import takes at most {IMPORT_DISKS} disks"
        yield Finding.at(where, "import-limit", message, "use conversion: register")


def _firmware(spec: Merged, server: str) -> Iterator[Finding]:
    """EC2 API reference, RegisterImage: `TpmSupport` needs boot mode uefi, `UefiData` a UEFI boot mode."""
    image = ("servers", server, "image")
    mode = spec.text(*image, "bootMode") or "auto"
    if spec.is_wrong(*image, "bootMode"):
        return
    if spec.get(*image, "tpm") is True and mode != "uefi":
        where = spec.place(*image, "tpm")
        yield Finding.at(where, "wrong-boot-mode", "a TPM needs bootMode: uefi", "AWS has no TPM for another firmware")
    if spec.text(*image, "uefiData") is not None and mode not in ("uefi", "uefi-preferred"):
        where = spec.place(*image, "uefiData")
        yield Finding.at(where, "wrong-boot-mode", "uefiData needs bootMode: uefi or uefi-preferred")


def _encryption(spec: Merged, server: str) -> Iterator[Finding]:
    image = ("servers", server, "image")
    # Where `encrypt` is wrong in itself, it may well be meant as true.
    if spec.get(*image, "encrypt") is True or spec.is_wrong(*image, "encrypt"):
        return
    keys = [(*image, "kmsKey"), *((*image, "copies", region, "kmsKey") for region in spec.names(*image, "copies"))]
    for path in keys:
        if spec.text(*path) is not None:
            hint = "or nothing would be encrypted"
            yield Finding.at(spec.place(*path), "key-without-encryption", "kmsKey needs encrypt: true", hint)


def _name(spec: Merged, server: str) -> Iterator[Finding]:
    name = ("servers", server, "image", "name")
    template = spec.text(*name)
    for problem in image_names.problems_of(template) if template is not None else ():
        known = ", ".join(f"{{{each}}}" for each in image_names.PLACEHOLDERS)
        yield Finding.at(spec.place(*name), "image-name", problem, f"placeholders: {known}")


def _sharing(spec: Merged, server: str) -> Iterator[Finding]:
    """The key that AWS makes for EBS cannot be shared (EC2 user guide, "Share an AMI with specific AWS accounts")."""
    image = ("servers", server, "image")
    if not spec.texts(*image, "shareWith") or spec.get(*image, "encrypt") is not True:
        return
    for path in [image, *((*image, "copies", region) for region in spec.names(*image, "copies"))]:
        if spec.get(*path, "kmsKey") is None and not spec.is_wrong(*path, "kmsKey"):
            what = f"the copy in {short(str(path[-1]))}" if path != image else "the image"
            message = f"{what} cannot be shared: it would be encrypted with the account's default key"
            where = spec.place(*image, "shareWith")
            yield Finding.at(where, "unshareable-key", message, "add kmsKey, a key of your own in that region")
