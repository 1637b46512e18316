"""The fixtures against the service models of AWS, and each field of the models against what an import makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from hypothesis import given, settings
from hypothesis import strategies as st

from rehost import spec
from rehost.importers import InventoryError, Options, import_inventory
from rehost.importers._account import UNKNOWN

from .conftest import DATA, NOW, Import, write

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


FIELDS = sorted({member for shapes in (SMS, MGN) for each in shapes.values() for member in each.get("members", ())})
TOPS = sorted({"items", *(key for name in SMS if name.endswith("Response") for key in SMS[name]["members"])})
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=20),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)),
    max_leaves=12,
)


@given(
    document=st.dictionaries(st.sampled_from(TOPS), VALUES, min_size=1, max_size=3),
    tool=st.sampled_from(["sms", "mgn"]),
)
@settings(max_examples=150, deadline=None)
def test_any_json_makes_a_valid_spec_or_an_error_of_ours(
    document: dict[str, Any], tool: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("json")
    (folder / "x.json").write_text(json.dumps(document))
    try:
        made = import_inventory(
            tool, [folder / "x.json"], Options(now=NOW, everything=True), folder=folder / "specs", stem="in"
        )
    except InventoryError:
        return
    write(folder / "specs", made.files)
    estate, findings = spec.check(folder / "specs")
    assert estate is not None, [str(each) for each in findings]


def altered(value: Any, path: list[int], new: Any) -> Any:
    """The value with what lies at a path, counted out among its keys and items, replaced."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    chosen = keys[path[0] % len(keys)]
    if isinstance(value, dict):
        return {key: altered(each, path[1:], new) if key == chosen else each for key, each in value.items()}
    return [altered(each, path[1:], new) if number == chosen else each for number, each in enumerate(value)]


@given(name=st.sampled_from(sorted(PRINTED)), path=st.lists(st.integers(0, 20), min_size=1, max_size=7), new=VALUES)
@settings(max_examples=80, deadline=None)
def test_one_wrong_value_in_real_output(
    name: str, path: list[int], new: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Beside all of the other files, so that what refers to it is there."""
    folder = tmp_path_factory.mktemp("json")
    tool = name.partition("-")[0]
    files = []
    for each in sorted(DATA.glob(f"{tool}-*.json")):
        content = json.loads(each.read_text("utf-8"))
        files.append(folder / each.name)
        files[-1].write_text(json.dumps(altered(content, path, new) if each.name == name else content))
    try:
        made = import_inventory(tool, files, Options(now=NOW), folder=folder / "specs", stem="in")
    except InventoryError:
        return
    write(folder / "specs", made.files)
    estate, findings = spec.check(folder / "specs")
    assert estate is not None, [str(each) for each in findings]
