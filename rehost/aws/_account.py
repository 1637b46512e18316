"""What an account has in a region, asked in as few calls as there are kinds of things: the facts that preflight weighs.

Every answer is about all there is, or about all the names given at once; nothing is asked a second time for a second server by
whoever keeps the answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from rehost.aws._errors import NotFound, translated
from rehost.aws._session import Session
from rehost.aws._tags import from_list

#: EC2 API reference, Filter: at most 200 values in a request.
_VALUES = 200
_GONE = ("shutting-down", "terminated")


@dataclass(frozen=True)
class SubnetView:
    subnet_id: str
    vpc_id: str
    zone: str
    cidr: str
    free: int  # addresses; what AWS keeps for itself is left out
    is_default: bool  # of its zone


@dataclass(frozen=True)
class InstanceTypeView:
    name: str
    vcpus: int
    memory_mib: int
    architectures: tuple[str, ...]
    boot_modes: tuple[str, ...]  # legacy-bios, uefi
    needs_ena: bool
    has_tpm: bool


@dataclass(frozen=True)
class LiveInstance:
    """An instance that is not on its way out."""

    instance_id: str
    instance_type: str
    is_running: bool  # or about to: its vCPUs count against the quota
    is_on_demand: bool
    tags: Mapping[str, str] = field(default_factory=dict)


class Account:
    def __init__(self, session: Session) -> None:
        self._session = session

    def subnets(self) -> dict[str, SubnetView]:
        ec2 = self._session.client("ec2")
        with translated():
            return {
                each["SubnetId"]: SubnetView(
                    each["SubnetId"],
                    each["VpcId"],
                    each["AvailabilityZone"],
                    each.get("CidrBlock", ""),
                    int(each["AvailableIpAddressCount"]),
                    bool(each.get("DefaultForAz")),
                )
                for page in ec2.get_paginator("describe_subnets").paginate()
                for each in page["Subnets"]
            }

    def security_groups(self) -> dict[str, str]:
        """The VPC of each."""
        ec2 = self._session.client("ec2")
        with translated():
            return {
                each["GroupId"]: str(each.get("VpcId", ""))
                for page in ec2.get_paginator("describe_security_groups").paginate()
                for each in page["SecurityGroups"]
            }

    def key_pairs(self) -> frozenset[str]:
        ec2 = self._session.client("ec2")
        with translated():
            return frozenset(each["KeyName"] for each in ec2.describe_key_pairs()["KeyPairs"])

    def instance_profile_roles(self, name_or_arn: str) -> int | None:
        """How many roles are in it; None where there is no such profile."""
        iam = self._session.client("iam")
        try:
            with translated():
                found = iam.get_instance_profile(InstanceProfileName=name_or_arn.rsplit("/", 1)[-1])
        except NotFound:
            return None
        return len(found["InstanceProfile"]["Roles"])

    def instance_types(self, names: Collection[str]) -> dict[str, InstanceTypeView]:
        """Those that exist in the region. A filter leaves the others out, where InstanceTypes would refuse them all."""
        ec2 = self._session.client("ec2")
        found: dict[str, InstanceTypeView] = {}
        for some in _portions(names):
            filters = [{"Name": "instance-type", "Values": some}]
            with translated():
                for page in ec2.get_paginator("describe_instance_types").paginate(Filters=filters):
                    for each in page["InstanceTypes"]:
                        found[each["InstanceType"]] = InstanceTypeView(
                            each["InstanceType"],
                            int(each["VCpuInfo"]["DefaultVCpus"]),
                            int(each["MemoryInfo"]["SizeInMiB"]),
                            tuple(each["ProcessorInfo"].get("SupportedArchitectures", ())),
                            tuple(each.get("SupportedBootModes", ())),
                            each.get("NetworkInfo", {}).get("EnaSupport") == "required",
                            each.get("NitroTpmSupport") == "supported",
                        )
        return found

    def zones(self, names: Collection[str]) -> dict[str, frozenset[str]]:
        """The availability zones in which each instance type is offered."""
        ec2 = self._session.client("ec2")
        found: dict[str, set[str]] = {name: set() for name in names}
        for some in _portions(names):
            filters = [{"Name": "instance-type", "Values": some}]
            pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
                LocationType="availability-zone", Filters=filters
            )
            with translated():
                for page in pages:
                    for each in page["InstanceTypeOfferings"]:
                        found.setdefault(each["InstanceType"], set()).add(each["Location"])
        return {name: frozenset(zones) for name, zones in found.items()}

    def live_instances(self) -> list[LiveInstance]:
        ec2 = self._session.client("ec2")
        with translated():
            return [
                LiveInstance(
                    each["InstanceId"],
                    each["InstanceType"],
                    each["State"]["Name"] in ("pending", "running"),
                    each.get("InstanceLifecycle") is None,
                    from_list(each.get("Tags")),
                )
                for page in ec2.get_paginator("describe_instances").paginate()
                for reservation in page["Reservations"]
                for each in reservation["Instances"]
                if each["State"]["Name"] not in _GONE
            ]

    def volume_gib(self) -> dict[str, int]:
        """GiB of the account's volumes, by volume type."""
        ec2 = self._session.client("ec2")
        total: dict[str, int] = {}
        with translated():
            for page in ec2.get_paginator("describe_volumes").paginate():
                for each in page["Volumes"]:
                    total[each["VolumeType"]] = total.get(each["VolumeType"], 0) + int(each["Size"])
        return total

    def quotas(self, service: str) -> dict[str, float]:
        """The values that hold for this account and region, by quota code. `service`: ec2, ebs."""
        client = self._session.client("service-quotas")
        with translated():
            return {
                each["QuotaCode"]: float(each["Value"])
                for page in client.get_paginator("list_service_quotas").paginate(ServiceCode=service)
                for each in page["Quotas"]
                if "Value" in each
            }


def _portions(names: Collection[str]) -> Iterator[list[str]]:
    listed = sorted(set(names))
    for start in range(0, len(listed), _VALUES):
        yield listed[start : start + _VALUES]
