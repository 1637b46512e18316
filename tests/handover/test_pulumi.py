"""What is written for Pulumi: the import file by the shape that Pulumi documents, the program by running it in Pulumi's mocks."""

from __future__ import annotations

import ast
import json
from typing import Any

import jsonschema
import pytest
import yaml

from rehost.aws import InstanceDetails
from rehost.handover import Kind, pieces_of, pulumi_files
from tests.components.conftest import Asked, run_program

from .conftest import HOSTILE

#: https://www.pulumi.com/docs/iac/guides/migration/import/ ("Import multiple resources"), what is written of it.
IMPORT_FILE = {
    "type": "object",
    "required": ["resources"],
    "additionalProperties": False,
    "properties": {
        "nameTable": {"type": "object", "additionalProperties": {"type": "string", "pattern": "^urn:pulumi:"}},
        "resources": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "name", "id"],
                "additionalProperties": False,
                "properties": {
                    "type": {"type": "string", "pattern": "^[a-z-]+:[\\w/-]+:[A-Za-z]+$"},
                    "name": {"type": "string", "minLength": 1},
                    "id": {"type": "string", "minLength": 1},
                    "parent": {"type": "string"},
                    "provider": {"type": "string"},
                    "version": {"type": "string"},
                    "pluginDownloadUrl": {"type": "string"},
                    "logicalName": {"type": "string"},
                    "properties": {"type": "array", "items": {"type": "string"}},
                    "component": {"type": "boolean"},
                    "remote": {"type": "boolean"},
                },
            },
        },
    },
}


@pytest.fixture
def files(instances: list[InstanceDetails]) -> dict[str, str]:
    return pulumi_files("shop", "eu-central-1", pieces_of(instances))


@pytest.fixture
def registered(files: dict[str, str]) -> list[Asked]:
    return run_program(lambda: exec(compile(files["__main__.py"], "__main__.py", "exec"), {"__name__": "__main__"}))


def test_the_import_file_has_the_documented_shape(files: dict[str, str]) -> None:
    found = json.loads(files["import.json"])
    jsonschema.validate(found, IMPORT_FILE)
    assert [(each["type"], each["id"]) for each in found["resources"]] == [
        (Kind.INSTANCE.token, "i-0aaaaaaaaaaaaaaa1"),
        (Kind.VOLUME.token, "vol-2"),
        (Kind.ATTACHMENT.token, "/dev/sdf:vol-2:i-0aaaaaaaaaaaaaaa1"),
        (Kind.INTERFACE.token, "eni-2"),
        (Kind.ADDRESS.token, "eipalloc-1"),
        (Kind.ADDRESS.token, "eipalloc-2"),
        (Kind.INSTANCE.token, "i-0aaaaaaaaaaaaaaa2"),
        (Kind.INSTANCE.token, "i-0aaaaaaaaaaaaaaa3"),
        (Kind.INSTANCE.token, "i-0aaaaaaaaaaaaaaa4"),
    ]


def test_the_program_registers_what_is_imported(files: dict[str, str], registered: list[Asked]) -> None:
    imported = {(each["type"], each["name"]) for each in json.loads(files["import.json"])["resources"]}
    assert len(imported) == len(registered)
    assert imported == {(each.type, each.name) for each in registered}
    assert all(each.protected for each in registered)


def test_the_program_says_what_runs(registered: list[Asked]) -> None:
    by_name = {(each.type, each.name): each for each in registered}
    instance = by_name[Kind.INSTANCE.token, "db-01"]
    assert instance.inputs["rootBlockDevice"] == {
        "volumeType": "gp3", "volumeSize": 30, "iops": 3000, "throughput": 125, "encrypted": True,
        "kmsKeyId": "arn:key", "deleteOnTermination": True,
    }  # fmt: skip
    assert instance.inputs["metadataOptions"] == {
        "httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1,
    }  # fmt: skip
    assert instance.inputs["vpcSecurityGroupIds"] == ["sg-1", "sg-2"]
    assert instance.inputs["tags"]["note to self"] == HOSTILE
    assert instance.ignored == ("userData", "userDataBase64", "launchTemplate")
    attachment = by_name[Kind.ATTACHMENT.token, "db-01-sdf"]
    assert attachment.inputs == {"deviceName": "/dev/sdf", "instanceId": "id-db-01", "volumeId": "id-db-01-sdf"}
    interface = by_name[Kind.INTERFACE.token, "db-01-eth1"]
    assert interface.inputs["attachments"] == [{"instance": "id-db-01", "deviceIndex": 1}]
    assert by_name[Kind.ADDRESS.token, "db-01-eip2"].inputs["networkInterface"] == "id-db-01-eth1"


def test_the_program_is_python_whatever_the_names_are(files: dict[str, str]) -> None:
    names = [
        target.id
        for node in ast.parse(files["__main__.py"]).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert len(names) == len(set(names)) == 9
    assert "class" not in names


def test_the_project_names_its_region(files: dict[str, str]) -> None:
    project: dict[str, Any] = yaml.safe_load(files["Pulumi.yaml"])
    assert (project["name"], project["runtime"]) == ("shop", "python")
    assert project["config"] == {"aws:region": {"value": "eu-central-1"}}
