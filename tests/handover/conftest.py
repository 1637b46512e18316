"""What an application became, made by hand: every kind of piece, and texts that neither language takes as they are."""

from __future__ import annotations

import pytest

from rehost.aws import AddressDetails, InstanceDetails, InterfaceDetails, VolumeDetails

#: Begins templates of Terraform, ends strings of both languages.
HOSTILE = 'a "quoted" ${var.secret} %{ if true } \\ back\'slash\n"""end'


@pytest.fixture
def instances() -> list[InstanceDetails]:
    tags = {"Name": "db-01", "rehost:stack": "prod", "rehost:server": "db-01", "note to self": HOSTILE}
    database = InstanceDetails(
        server="db-01",
        id="i-0aaaaaaaaaaaaaaa1",
        state="running",
        image="ami-0123456789abcdef0",
        type="m7i.large",
        zone="eu-central-1a",
        tenancy="dedicated",
        key_name="ops",
        instance_profile="database",
        ebs_optimized=True,
        protected=True,
        from_template=True,
        metadata={"State": "applied", "HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        interfaces=(
            InterfaceDetails("eni-1", 0, "subnet-1", ("10.0.0.5", "10.0.0.6"), ("sg-1", "sg-2"), "first"),
            InterfaceDetails("eni-2", 1, "subnet-2", ("10.0.1.5",), ("sg-3",), "backup", False, {"Name": "backup"}),
        ),
        volumes=(
            VolumeDetails("vol-1", "/dev/xvda", True, 30, "gp3", "eu-central-1a", 3000, 125, True, "arn:key", "snap-1", True),
            VolumeDetails("vol-2", "/dev/sdf", False, 500, "io2", "eu-central-1a", 9000, None, True, "arn:key", "snap-2", True, {"Name": "data"}),
        ),
        addresses=(AddressDetails("eipalloc-1", "203.0.113.9", "eni-1"), AddressDetails("eipalloc-2", "203.0.113.10", "eni-2")),
        tags=tags,
    )  # fmt: skip
    # Its name is that of a piece of the other one, once it is written in Python's letters; the type has no figures to set.
    odd = InstanceDetails(
        server="class",
        id="i-0aaaaaaaaaaaaaaa2",
        state="stopped",
        image="ami-0123456789abcdef1",
        type="t3.micro",
        zone="eu-central-1b",
        volumes=(VolumeDetails("vol-3", "/dev/sda1", True, 8, "gp2", "eu-central-1b"),),
        interfaces=(InterfaceDetails("eni-3", 0, "subnet-1", ("10.0.0.7",), ("sg-1",)),),
        tags={"Name": "class"},
    )
    dotted = InstanceDetails("7.db.01", "i-0aaaaaaaaaaaaaaa3", "running", "ami-1", "t3.micro", "eu-central-1a")
    twin = InstanceDetails("7-db-01", "i-0aaaaaaaaaaaaaaa4", "running", "ami-1", "t3.micro", "eu-central-1a")
    return [database, odd, dotted, twin]
