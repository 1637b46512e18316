"""Every input of an Instance, and what a change of it does: the one place that says so. docs/launch.md has this table."""

from __future__ import annotations

from dataclasses import dataclass

from providers._provider import Props


@dataclass(frozen=True)
class Property:
    spec: str  # where it stands in a launch config, or what it comes from
    replaces: bool
    does: str


def _replaces(spec: str, why: str) -> Property:
    return Property(spec, True, why)


def _updates(spec: str, how: str) -> Property:
    return Property(spec, False, how)


PROPERTIES = {
    "stack": _replaces("the Pulumi stack", "another stack's instance is another one"),
    "server": _replaces("the server's name", "another server is another instance"),
    "imageId": _replaces("the run that is pinned", "an instance has the disks of one image"),
    "launchTemplate": _replaces("`launchTemplate`", "EC2 reads it at launch only"),
    "subnet": _replaces("`subnet`", "the first network interface cannot move"),
    "privateIp": _replaces("`privateIp`", "a first address cannot change"),
    "publicIp": _replaces("`publicIp`", "it is given at launch"),
    "networkInterfaces": _replaces("`networkInterfaces`: `subnet`, `privateIp`, `description`", "they are made, and go, with the instance"),
    "placement": _replaces("`placement`", "zone, tenancy, host and group are fixed at launch"),
    "keyName": _replaces("`keyName`", "the key is put into the guest at its first start"),
    "userData": _replaces("`userData`, `configureScript`", "they run at the first start"),
    "volumeKmsKey": _replaces("`volumeKmsKey`", "a volume keeps its key"),
    "volumeKeys": _replaces("`volumes`: `kmsKey`", "a volume keeps its key"),
    "instanceType": _updates("`instanceType`", "the instance is stopped, changed, and started again"),
    "started": _updates("`started`", "the instance is stopped, or started"),
    "securityGroups": _updates("`securityGroups`", "at once; taking all of them out of the spec leaves them as they are"),
    "interfaceSecurityGroups": _updates("`networkInterfaces`: `securityGroups`", "at once; as above"),
    "instanceProfile": _updates("`instanceProfile`", "at once, without a restart"),
    "imdsv2": _updates("`imdsv2`", "at once"),
    "metadataHopLimit": _updates("`metadataHopLimit`", "at once"),
    "terminationProtection": _updates("`terminationProtection`", "at once"),
    "volumeType": _updates("`volumeType`", "in use; to or from `standard` it replaces the instance"),
    "volumeIops": _updates("`volumeIops`", "in use; EBS takes one change of a volume in six hours"),
    "volumeThroughput": _updates("`volumeThroughput`", "in use, as above"),
    "volumes": _updates("`volumes`: `type`, `iops`, `throughput`", "in use, as above"),
    "tags": _updates("`tags`", "at once, on the instance, its volumes and its network interfaces"),
}  # fmt: skip

UPDATES = tuple(name for name, each in PROPERTIES.items() if not each.replaces)
#: What `check` adds for the reader of a preview, and what it works with: no change of these is a change of the instance.
NOTES = ("instanceTypeReason", "instanceTypeFor", "privateIpReason", "origin")


def replacing(olds: Props, news: Props) -> tuple[str, ...]:
    """The inputs of which a change replaces the instance. Magnetic volumes are those that EBS cannot modify."""
    magnetic = "standard" in (*_types(olds), *_types(news))
    fixed = tuple(name for name, each in PROPERTIES.items() if each.replaces)
    return (*fixed, "volumeType", "volumes") if magnetic else fixed


def _types(props: Props) -> list[str]:
    volumes = props.get("volumes")
    each = [entry.get("type") for entry in volumes.values()] if isinstance(volumes, dict) else []
    return [props.get("volumeType") or "", *filter(None, each)]


def table() -> str:
    """As docs/launch.md shows it."""
    rows = ["| input of `Instance` | in the launch config | a change | because, or how |", "|---|---|---|---|"]
    for name, each in PROPERTIES.items():
        change = "**replaces** the instance" if each.replaces else "in place"
        rows.append(f"| `{name}` | {each.spec} | {change} | {each.does} |")
    return "\n".join(rows) + "\n"
