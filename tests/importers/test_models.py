"""The fixtures against the service models of AWS, and each field of the models against what an import makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

from rehost.importers._account import UNKNOWN

from .conftest import DATA, Import

ROOT = Path(__file__).resolve().parents[2]
#: From botocore 1.34's service model `sms`: newer versions of botocore no longer have it.
SMS: Mapping[str, Any] = json.loads((ROOT / "tests" / "data" / "sms-shapes.json").read_text("utf-8"))["shapes"]
MGN: Mapping[str, Any] = Loader().load_service_model("mgn", "service-2")["shapes"]
KINDS: Mapping[str, Any] = {
    "string": str, "boolean": bool, "integer": int, "long": int, "list": list, "structure": dict, "map": dict,
    "timestamp": (str, int, float),
}  # fmt: skip
PRINTED = {
    "sms-servers.json": (SMS, "GetServersResponse"),
    "sms-jobs.json": (SMS, "GetReplicationJobsResponse"),
    "sms-app.json": (SMS, "GetAppResponse"),
    "sms-app-replication.json": (SMS, "GetAppReplicationConfigurationResponse"),
    "sms-app-launch.json": (SMS, "GetAppLaunchConfigurationResponse"),
    "sms-app-validation.json": (SMS, "GetAppValidationConfigurationResponse"),
    "mgn-source-servers.json": (MGN, "DescribeSourceServersResponse"),
    "mgn-applications.json": (MGN, "ListApplicationsResponse"),
    "mgn-waves.json": (MGN, "ListWavesResponse"),
    "mgn-launch.json": (MGN, "LaunchConfiguration"),
    "mgn-replication.json": (MGN, "ReplicationConfiguration"),
}


def differences(shapes: Mapping[str, Any], name: str, value: Any, where: str = "") -> list[str]:
    shape = shapes[name]
    if not isinstance(value, KINDS[shape["type"]]) or (isinstance(value, bool) and shape["type"] != "boolean"):
        return [f"{where}: {value!r} is no {shape['type']}"]
    if "enum" in shape and value not in shape["enum"]:
        return [f"{where}: {value!r} is none of {shape['enum']}"]
    if shape["type"] == "list":
        return [
            each
            for number, item in enumerate(value)
            for each in differences(shapes, shape["member"]["shape"], item, f"{where}[{number}]")
        ]
    found = []
    for key, item in value.items() if shape["type"] == "structure" else ():
        if key not in shape["members"]:
            found.append(f"{where}.{key} is unknown")
        else:
            found += differences(shapes, shape["members"][key]["shape"], item, f"{where}.{key}")
    return found


def everything(shapes: Mapping[str, Any], name: str, key: str = "") -> Any:
    """A value with each field that the model has."""
    shape = shapes[name]
    match shape["type"]:
        case "structure":
            return {member: everything(shapes, each["shape"], member) for member, each in shape["members"].items()}
        case "list":
            return [everything(shapes, shape["member"]["shape"], key)]
        case "map":
            return {"key": "value"}
        case "boolean":
            return key not in ("isArchived", "replicationJobTerminated")
        case "integer" | "long":
            return 12
        case "timestamp":
            return 1_600_000_000
    return shape["enum"][0] if "enum" in shape else {"vmPath": "/DC1/vm/one", "nextToken": ""}.get(key, "one")


@pytest.mark.parametrize("name", sorted(each.name for each in DATA.glob("*.json")))
def test_the_fixtures_are_what_aws_prints(name: str) -> None:
    shapes, shape = PRINTED[name]
    assert differences(shapes, shape, json.loads((DATA / name).read_text("utf-8"))) == []


def test_the_check_of_fixtures_can_fail() -> None:
    assert differences(SMS, "GetServersResponse", {"serverList": [{"serverType": "PHYSICAL", "serverID": 1}]}) == [
        ".serverList[0].serverType: 'PHYSICAL' is none of ['VIRTUAL_MACHINE']",
        ".serverList[0].serverID is unknown",
    ]


@pytest.mark.parametrize("tool", ["sms", "mgn"])
def test_each_field_of_the_model_is_carried_over_or_has_a_reason(tool: str, come_in: Import, tmp_path: Path) -> None:
    shapes = SMS if tool == "sms" else MGN
    names = (
        {name for name in SMS if name.endswith("Response")} if tool == "sms" else {each for _, each in PRINTED.values()}
    )
    files = []
    for name in sorted(each for each in names if each in shapes):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(everything(shapes, name)))
    assert len(files) == (9 if tool == "sms" else 5)
    remarks = come_in(tool, *files).made.remarks
    assert [each.field for each in remarks if each.reason == UNKNOWN] == []
    assert len(remarks) > 20
