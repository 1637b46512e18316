"""Launches by the real engine: faults of one server beside its siblings, what a preview says of a change, and `auto` and `copy`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rehost.control import ControlPlane

from .conftest import EngineProject

pytestmark = pytest.mark.engine

ONE_GROUP = """\
    groups:
      all: {servers: [db-01, web-01]}
"""


def instances(project: EngineProject) -> dict[str, dict[str, Any]]:
    """Those that are not terminated, by server."""
    found = {}
    for reservation in project.aws("ec2").describe_instances(
        Filters=[{"Name": "tag:rehost:stack", "Values": [project.stack]}]
    )["Reservations"]:
        for each in reservation["Instances"]:
            if each["State"]["Name"] != "terminated":
                tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
                assert tags["rehost:server"] not in found, "two instances of one server"
                found[tags["rehost:server"]] = each
    return found


def interfaces(project: EngineProject) -> set[str]:
    filters = [{"Name": "tag:rehost:stack", "Values": [project.stack]}]
    return {
        each["NetworkInterfaceId"]
        for each in project.aws("ec2").describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    }


def test_a_launch_that_fails_stops_no_sibling_and_the_next_update_goes_on(project: EngineProject) -> None:
    text = project.spec.read_text()
    groups = text[text.index("    groups:") :]
    project.edit(groups, ONE_GROUP)
    project.edit("phase: replicate", "phase: test")
    project.edit(
        "  small: {instanceType: t3.micro}",
        "  small: {instanceType: t3.micro}\n  big: {extends: small, instanceType: t3.small}",
    )
    project.edit("conversion: import}\n    launchConfig: small", "conversion: import}\n    launchConfig: big")
    faults = {
        "InsufficientInstanceCapacity": (500, "AWS has no capacity for it now: none of these; `pulumi up` again later"),
        "VcpuLimitExceeded": (400, "a quota of the account is reached: none of these"),
        "InvalidSubnetID.NotFound": (400, "RunInstances: none of these"),
    }
    sibling = ""
    for code, (status, said) in faults.items():
        project.sandbox.fault(
            action="error",
            service="ec2",
            operation="RunInstances",
            match={"InstanceType": "t3.small"},
            code=code,
            status=status,
            message="none of these",
        )
        assert said in project.up(ok=False)
        project.sandbox.clear_faults()
        found = instances(project)
        assert found.keys() == {"web-01"}
        assert found["web-01"]["State"]["Name"] == "running"
        assert sibling in ("", found["web-01"]["InstanceId"]), "the sibling stays as it is"
        sibling = found["web-01"]["InstanceId"]
    project.up()
    project.up("--expect-no-changes")
    found = instances(project)
    assert found.keys() == {"web-01", "db-01"}
    assert found["web-01"]["InstanceId"] == sibling
    assert len(interfaces(project)) == 2
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.owned() == []
    assert interfaces(project) == set()


def tell(project: EngineProject, server: str, **facts: Any) -> None:
    """Put what discovery would find of a machine into the catalog: a folder of images knows no CPUs."""
    control = ControlPlane.open(f"sqlite:///{project.folder / '.rehost' / 'control.db'}")
    try:
        control.catalogs.request("exports", {"type": "images"})
        assert control.catalogs.take("test", ["exports"]) is not None
        entry = {"name": server, "locator": {"path": f"{server}.raw"}, "disks": [], "facts": facts}
        assert control.catalogs.put("exports", "test", [entry])
    finally:
        control.close()


def inputs(project: EngineProject, server: str) -> dict[str, Any]:
    state = json.loads(project.pulumi("stack", "export").stdout)["deployment"]["resources"]
    found: dict[str, Any] = next(each["inputs"] for each in state if each["urn"].endswith(f"Instance::{server}"))
    return found


def test_what_the_source_tells_and_what_a_change_does_is_in_the_preview(project: EngineProject) -> None:
    ec2 = project.aws("ec2")
    subnet, other = sorted(ec2.describe_subnets()["Subnets"], key=lambda each: str(each["AvailabilityZone"]))[:2]
    address = subnet["CidrBlock"].rsplit(".", 2)[0] + f".14.{int(project.stack[-2:], 16)}"
    project.up()  # and the images are there
    project.edit("phase: replicate", "phase: test")
    auto = f"  auto: {{instanceType: auto, privateIp: copy, subnet: {subnet['SubnetId']}}}"
    project.edit("  small: {instanceType: t3.micro}", f"  small: {{instanceType: t3.micro}}\n{auto}")
    project.edit("conversion: register}\n    launchConfig: small", "conversion: register}\n    launchConfig: auto")
    said = project.pulumi("preview", ok=False).stdout
    assert "does not tell the CPUs and the memory of this server" in said
    assert "rehost discover exports" in said

    tell(project, "web-01", cpus=2, memoryMib=6144, firmware="bios", address=address)
    said = project.pulumi("preview", "--diff").stdout
    assert "m7i.large (2 vCPUs, 8 GiB) is the smallest that fits in eu-central-1a" in said
    assert "copied from the source exports" in said
    project.up()
    project.up("--expect-no-changes")
    first = instances(project)["web-01"]
    assert (first["InstanceType"], first["PrivateIpAddress"]) == ("m7i.large", address)
    assert inputs(project, "web-01")["instanceTypeReason"].startswith("the source has 2 CPUs, 6 GiB")

    # More memory in the source: another type, in place. Another address there: the instance keeps its own.
    tell(project, "web-01", cpus=2, memoryMib=12288, firmware="bios", address="192.0.2.7")
    assert project.steps() == {"Instance web-01": "update"}
    project.up()
    assert instances(project)["web-01"]["InstanceType"] == "r7i.large"

    # What is fixed at launch replaces it, and the preview says so; where it is protected, that is refused.
    project.edit(f"subnet: {subnet['SubnetId']}}}", f"subnet: {subnet['SubnetId']}, terminationProtection: true}}")
    assert project.steps() == {"Instance web-01": "update"}
    project.up()
    project.edit("instanceType: auto", "instanceType: auto, placement: {tenancy: dedicated}")
    said = project.pulumi("preview", ok=False).stdout
    assert "its change replaces the instance, which is protected from termination" in said
    assert instances(project)["web-01"]["InstanceId"] == first["InstanceId"]
    project.edit("instanceType: auto, placement: {tenancy: dedicated}", "instanceType: auto")
    project.edit("terminationProtection: true", "terminationProtection: false")
    project.up()
    project.edit(f"subnet: {subnet['SubnetId']}", f"subnet: {other['SubnetId']}")
    project.edit("privateIp: copy, ", "")
    steps = project.steps()
    assert steps["Instance web-01"] in ("replace", "delete-replaced", "create-replacement")
    project.up()
    second = instances(project)["web-01"]
    assert second["InstanceId"] != first["InstanceId"]
    assert second["SubnetId"] == other["SubnetId"]
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.owned() == []
