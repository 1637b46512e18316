"""A spec without errors becomes the typed model."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rehost import spec

ROOT = Path(__file__).resolve().parents[2]
GOOD = Path(__file__).parent / "good"


@pytest.fixture(scope="module")
def estate() -> spec.Estate:
    return spec.load(GOOD)


def test_the_example_loads_as_it_is() -> None:
    example = spec.load(ROOT / "migration_specs")
    assert example.applications["shop"].servers == ("db-01", "web-01")
    assert example.sources["exports"] == spec.SourceSpec("exports", {"type": "images", "path": "exports"})
    assert example.servers["db-01"].locator == {"disks": ["db-01/root.raw", "db-01/data.raw"]}
    assert {name: server.image.conversion for name, server in example.servers.items()} == {
        "web-01": "register",
        "db-01": "import",
    }


def test_sections_of_all_files_are_merged(estate: spec.Estate) -> None:
    assert set(estate.servers) == {"web-01", "web-02", "db-01", "cache"}
    assert str(estate.position("servers", "web-01")) == "good/servers/web.yaml:2:3"
    assert str(estate.position("launchConfigs", "web")) == "good/estate.yaml:13:3"


def test_names_are_resolved(estate: spec.Estate) -> None:
    web = estate.servers["web-01"]
    assert web.source is estate.sources["exports"]
    assert web.source.type == "images"
    assert web.schedule is estate.schedules["twice-a-day"]
    assert web.launch_config is estate.launch_configs["web"]


def test_durations_are_seconds(estate: spec.Estate) -> None:
    assert {name: each.every_seconds for name, each in estate.schedules.items()} == {
        "twice-a-day": 43_200,
        "half-hourly": 1_800,
        "weekly": 604_800,
        "near-live": None,
        "once": None,
    }


def test_a_schedule_says_when_in_one_way(estate: spec.Estate) -> None:
    assert estate.schedules["near-live"] == spec.Schedule(continuous=True, keep_images=0, name="near-live")
    assert estate.schedules["once"] == spec.Schedule(run_once=True, name="once")


def test_a_server_without_a_schedule_runs_once(estate: spec.Estate) -> None:
    assert estate.servers["cache"].schedule == spec.Schedule(run_once=True)
    assert estate.servers["cache"].launch_config is None


def test_what_is_left_out_has_its_default(estate: spec.Estate) -> None:
    assert estate.servers["cache"].image == spec.ImageOptions()
    assert estate.servers["cache"].quiesce == "try"
    assert estate.launch_configs["plain"] == spec.LaunchConfig("plain", "t3.small")


def test_each_default_of_the_schema_is_that_of_the_model() -> None:
    kinds = {
        "schedule": spec.Schedule(),
        "launchConfig": spec.LaunchConfig("x", "t3.small"),
        "image": spec.ImageOptions(),
    }
    attributes = {
        "keepImages": "keep_images",
        "bootMode": "boot_mode",
        "timeZone": "time_zone",
        "terminationProtection": "termination_protection",
    }
    checked = 0
    for name, model in kinds.items():
        for key, entry in spec.schema()["$defs"][name]["properties"].items():
            if entry.get("default") not in (None, [], {}):
                assert getattr(model, attributes.get(key, key)) == entry["default"]
                checked += 1
    assert checked >= 7


def test_paths_are_relative_to_the_project(estate: spec.Estate) -> None:
    assert estate.sources["exports"].config["path"] == "exports"
    assert estate.launch_configs["web"].user_data_file == "good/web.sh"


def test_a_path_that_leads_out_of_the_project_is_absolute(tmp_path: Path) -> None:
    folder = write(tmp_path / "project" / "specs", "sources: {a: {type: images, path: ../../elsewhere}}")
    assert spec.load(folder).sources["a"].config["path"] == (tmp_path / "elsewhere").as_posix()
    assert spec.load(folder, root=tmp_path).sources["a"].config["path"] == "elsewhere"


def test_two_check_outs_give_the_same_model(tmp_path: Path) -> None:
    estates = []
    for name in ("one", "two"):
        shutil.copytree(GOOD, tmp_path / name / "good")
        estates.append(spec.load(tmp_path / name / "good"))
    assert estates[0] == estates[1]


def test_a_relative_folder_gives_the_same_model(monkeypatch: pytest.MonkeyPatch, estate: spec.Estate) -> None:
    monkeypatch.chdir(GOOD.parent)
    assert spec.load(Path("good")) == estate
    assert spec.load(Path("good"), root=Path()) == estate


def test_user_data_is_read_with_line_feeds_alone(tmp_path: Path) -> None:
    folder = write(tmp_path / "specs", "launchConfigs: {a: {instanceType: t3.small, userData: {file: a.sh}}}")
    (folder / "a.sh").write_bytes("#!/bin/sh\r\necho grüß\r\n".encode())
    assert spec.load(folder).launch_configs["a"].user_data == "#!/bin/sh\necho grüß\n"


def test_an_instance_type_change_keeps_everything_else(estate: spec.Estate) -> None:
    web = estate.launch_configs["web"]
    assert (web.security_groups, web.subnet, web.private_ip) == (("sg-01", "sg-02"), "subnet-01", None)
    assert (web.protect, web.public_ip, web.imdsv2) == (True, False, "optional")
    assert web.user_data == "#!/bin/sh\necho hello\n"


def test_groups_stand_in_launch_order(estate: spec.Estate) -> None:
    shop = estate.applications["shop"]
    assert [group.name for group in shop.groups] == ["db", "cache", "web"]
    assert shop.servers == ("db-01", "cache", "web-02", "web-01")


def test_groups_launch_in_levels(estate: spec.Estate) -> None:
    levels = spec.group_order(estate.applications["shop"])
    assert [[group.name for group in level] for level in levels] == [["db", "cache"], ["web"]]


def test_a_wave_has_its_window(estate: spec.Estate) -> None:
    assert estate.waves["first"].window == spec.Window(
        datetime(2026, 12, 5, 22, tzinfo=UTC), datetime(2026, 12, 6, 6, tzinfo=UTC)
    )


def test_the_estate_is_plain_data(estate: spec.Estate) -> None:
    assert pickle.loads(pickle.dumps(estate)) == estate
    assert copy.deepcopy(estate) == estate


def test_errors_survive_pickle_and_name_everything(tmp_path: Path) -> None:
    folder = write(tmp_path / "specs", "sources: {a: {type: x}}\nservers: 5\n")
    with pytest.raises(spec.SpecErrors) as caught:
        spec.load(folder)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.findings == caught.value.findings
    assert str(again) == "\n".join(str(each) for each in spec.check(folder)[1])
    assert len(again.findings) == 2


def test_a_finding_as_data(tmp_path: Path) -> None:
    folder = write(tmp_path / "specs", "sourcse: {}\n")
    (finding,) = spec.check(folder)[1]
    assert finding.as_dict() == {
        "path": "specs/a.yaml",
        "line": 1,
        "column": 1,
        "message": "unknown key 'sourcse' in the spec",
        "hint": "did you mean sources?",
        "severity": "error",
        "rule": "unknown-key",
    }
    assert finding.position == spec.Position("specs/a.yaml", 1, 1)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    estate, (finding,) = spec.check(tmp_path / "specs")
    assert estate is None
    assert str(finding) == "specs:1:1: there is no folder specs (a spec is a folder of .yaml files, or one of them)"


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("servers: {}")
    (finding,) = spec.check(tmp_path / "a.txt")[1]
    assert (finding.rule, finding.message) == ("no-files", "a.txt is neither a folder nor a .yaml file")


def test_a_file_is_a_spec_by_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "specs", "sources: {a: {type: images, path: x}}")
    (folder / "b.yaml").write_text("sources: {b: {type: images, path: ../y}}", encoding="utf-8")
    estate = spec.load(folder / "b.yaml")
    assert estate.sources == {"b": spec.SourceSpec("b", {"type": "images", "path": (tmp_path / "y").as_posix()})}
    assert spec.load(folder / "b.yaml", root=tmp_path).sources["b"].config["path"] == "y"


def test_a_link_that_leads_nowhere_is_not_passed_over(tmp_path: Path) -> None:
    folder = write(tmp_path / "specs", "{}")
    (folder / "b.yaml").symlink_to("gone.yaml")
    found = spec.check(folder)[1]
    assert [(each.path, each.rule) for each in found] == [("specs/b.yaml", "unreadable")]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    folder = write(tmp_path / "specs", "launchConfigs: {a: {instanceType: t3.small, userData: {file: pipe}}}")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.yaml")
    assert [each.rule for each in spec.check(folder)[1]] == ["unreadable", "unreadable"]


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    return folder


def test_paths_of_a_vcenter_are_relative_to_its_file(estate: spec.Estate) -> None:
    config = estate.sources["dc1"].config
    assert config["tls"] == {"caFile": "good/vcenter-ca.pem"}
    assert config["vddk"] == {"libdir": "/opt/vddk"}
    assert config["spool"] == "good/spool"
    assert config["credentials"]["password"] == {"secretsManager": "vcenter/password"}
