"""What is written for Terraform, read back by a parser of its language and held to the provider's own names."""

from __future__ import annotations

import inspect
import json
from typing import Any

import hcl2
import pulumi_aws as aws
import pytest

from rehost.aws import InstanceDetails
from rehost.handover import Kind, pieces_of, terraform_files

from .conftest import HOSTILE

Read = dict[str, Any]


def text_of(quoted: str) -> str:
    """A string of HCL as its reader has it."""
    plain: str = json.loads(quoted)
    return plain.replace("$${", "${").replace("%%{", "%{")


@pytest.fixture
def read(instances: list[InstanceDetails]) -> Read:
    files = terraform_files("shop", "eu-central-1", pieces_of(instances))
    assert files.keys() == {"main.tf", "imports.tf"}
    return {**hcl2.loads(files["main.tf"]), **hcl2.loads(files["imports.tf"])}


def resources(read: Read) -> dict[str, Read]:
    """By address: `aws_instance.db-01`."""
    found = {}
    for entry in read["resource"]:
        ((kind, named),) = entry.items()
        ((name, body),) = named.items()
        found[f"{json.loads(kind)}.{json.loads(name)}"] = dict(body)
    return found


def test_everything_that_runs_is_imported_into_a_resource(read: Read) -> None:
    imports = {each["to"].strip("${}"): json.loads(each["id"]) for each in read["import"]}
    assert imports == {
        "aws_instance.db-01": "i-0aaaaaaaaaaaaaaa1",
        "aws_ebs_volume.db-01-sdf": "vol-2",
        "aws_volume_attachment.db-01-sdf": "/dev/sdf:vol-2:i-0aaaaaaaaaaaaaaa1",
        "aws_network_interface.db-01-eth1": "eni-2",
        "aws_eip.db-01-eip1": "eipalloc-1",
        "aws_eip.db-01-eip2": "eipalloc-2",
        "aws_instance.class": "i-0aaaaaaaaaaaaaaa2",
        "aws_instance._7-db-01": "i-0aaaaaaaaaaaaaaa3",
        "aws_instance._7-db-01-2": "i-0aaaaaaaaaaaaaaa4",
    }
    assert imports.keys() == resources(read).keys()


def test_the_instance_as_it_runs(read: Read) -> None:
    found = resources(read)["aws_instance.db-01"]
    plain = {key: json.loads(value) for key, value in found.items() if isinstance(value, str)}
    assert plain == {
        "ami": "ami-0123456789abcdef0", "instance_type": "m7i.large", "subnet_id": "subnet-1", "private_ip": "10.0.0.5",
        "tenancy": "dedicated", "key_name": "ops", "iam_instance_profile": "database",
    }  # fmt: skip
    assert found["vpc_security_group_ids"] == ['"sg-1"', '"sg-2"'], "by id: they are somebody else's"
    assert found["secondary_private_ips"] == ['"10.0.0.6"']
    assert found["ebs_optimized"] is found["disable_api_termination"] is True
    (root,) = found["root_block_device"]
    assert (root["volume_type"], root["volume_size"], root["iops"], root["throughput"]) == ('"gp3"', 30, 3000, 125)
    assert (root["encrypted"], root["kms_key_id"], root["delete_on_termination"]) == (True, '"arn:key"', True)
    (metadata,) = found["metadata_options"]
    assert metadata["http_tokens"] == '"required"'
    (life,) = found["lifecycle"]
    assert life["prevent_destroy"] is True
    ignored = [each.strip("${}") for each in life["ignore_changes"]]
    assert ignored == ["user_data", "user_data_base64", "launch_template"]


def test_what_aws_has_no_figure_for_is_not_written(read: Read) -> None:
    found = resources(read)["aws_instance.class"]
    (root,) = found["root_block_device"]
    assert not {"iops", "throughput", "kms_key_id"} & root.keys()
    assert not {"key_name", "iam_instance_profile", "tenancy", "user_data"} & found.keys()


def test_what_belongs_together_refers_to_each_other(read: Read) -> None:
    found = resources(read)
    attachment = found["aws_volume_attachment.db-01-sdf"]
    assert attachment["instance_id"] == "${aws_instance.db-01.id}"
    assert attachment["volume_id"] == "${aws_ebs_volume.db-01-sdf.id}"
    (on,) = found["aws_network_interface.db-01-eth1"]["attachment"]
    assert (on["instance"], on["device_index"]) == ("${aws_instance.db-01.id}", 1)
    assert found["aws_eip.db-01-eip1"]["instance"] == "${aws_instance.db-01.id}"
    assert found["aws_eip.db-01-eip2"]["network_interface"] == "${aws_network_interface.db-01-eth1.id}"


def test_texts_of_others_are_texts_and_no_templates(read: Read) -> None:
    tags = {text_of(key): text_of(value) for key, value in resources(read)["aws_instance.db-01"]["tags"].items()}
    assert tags["note to self"] == HOSTILE
    assert tags["rehost:server"] == "db-01"


def test_each_argument_is_one_that_the_provider_has(read: Read) -> None:
    """Pulumi's AWS provider is made from Terraform's: its Python classes know the arguments by the same names."""
    classes: dict[str, Any] = {
        Kind.INSTANCE.terraform: aws.ec2.Instance,
        Kind.VOLUME.terraform: aws.ebs.Volume,
        Kind.ATTACHMENT.terraform: aws.ec2.VolumeAttachment,
        Kind.INTERFACE.terraform: aws.ec2.NetworkInterface,
        Kind.ADDRESS.terraform: aws.ec2.Eip,
    }
    seen = set()
    for address, body in resources(read).items():
        kind = address.split(".")[0]
        seen.add(kind)
        known = set(inspect.signature(classes[kind]._internal_init).parameters)
        written = {
            "attachments" if key == "attachment" else key for key in body if key not in ("lifecycle", "__is_block__")
        }
        assert written <= known, address
    assert seen == classes.keys()
