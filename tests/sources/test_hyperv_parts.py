"""Parts of the hyperv source that need no host."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from rehost.sources import SourceConfigInvalid
from rehost.sources._protocol import Consistency
from rehost.sources.hyperv import _config, _names, _scripts
from rehost.sources.hyperv._config import Auth, Catalog, Endpoint
from rehost.sources.hyperv._errors import MachineGone, ScriptFailed, told
from rehost.sources.hyperv._files import unc
from rehost.sources.hyperv._inventory import record
from rehost.sources.hyperv._session import Session, _plain

ENTRY = {"type": "hyperv", "credentials": {"username": {"env": "U"}, "password": {"env": "P"}}}


def parsed(**options: Any) -> _config.HyperVConfig:
    return _config.parse({**ENTRY, **options}, Path("/spec"))


def test_the_defaults_are_the_safe_ones() -> None:
    config = parsed(endpoint="hv1.example.com")
    assert (config.catalog, config.endpoint) == (Catalog.HOST, Endpoint("hv1.example.com", 5986))
    assert (config.https, config.auth, config.smb_port) == (True, Auth.NEGOTIATE, 445)
    assert config.place == "hv1.example.com"
    assert parsed(endpoint="hv1", transport="http").endpoint.port == 5985
    assert str(parsed(endpoint="[fd00::5]:15986").endpoint) == "[fd00::5]:15986"


def test_secrets_are_no_part_of_what_is_shown() -> None:
    assert "env" not in repr(parsed(endpoint="hv1"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "one of `endpoint`"),
        ({"endpoint": "a", "cluster": "b"}, "one of `endpoint`"),
        ({"endpoint": "https://hv1/wsman"}, "is no place"),
        ({"endpoint": "hv1:99999"}, "is no place"),
        ({"scvmm": {}}, "one of `endpoint`"),
        ({"endpoint": "hv1", "auth": "basic"}, "there is no auth 'basic'; known: negotiate"),
        ({"endpoint": "hv1", "auth": "certificate"}, "needs `certificate"),
        ({"endpoint": "hv1", "transport": "http", "certificate": {"certFile": "c", "keyFile": "k"}}, "part of TLS"),
        ({"endpoint": "hv1", "credentials": {"username": "plain"}}, "over SMB, which takes no certificate"),
        ({"endpoint": "hv1", "tls": {"thumbprint": "12"}}, "32 pairs"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceConfigInvalid, match=re.escape(says)):
        parsed(**options)


def test_nodes_are_reached_in_the_clusters_domain_or_as_the_spec_says() -> None:
    nodes = {"HV2": {"endpoint": "10.0.0.12:15986", "smb": "10.0.1.12"}}
    config = parsed(cluster="cl1.corp.example", nodes=nodes, smb={"port": 1445})
    assert config.node("HV1") == Endpoint("HV1.corp.example", 5986)
    assert config.node("hv2.corp.example") == Endpoint("10.0.0.12", 15986)
    assert config.smb("HV1", config.node("HV1")) == Endpoint("HV1.corp.example", 1445)
    assert config.smb("HV2", config.node("HV2")) == Endpoint("10.0.1.12", 445)
    assert parsed(cluster="10.0.0.1").node("HV1").host == "HV1"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (r"C:\VMs\web\os.vhdx", r"\\hv1\C$\VMs\web\os.vhdx"),
        (r"\\?\d:\os.vhdx", r"\\hv1\D$\os.vhdx"),
        (r"\\?\UNC\files\vms\os.vhdx", r"\\files\vms\os.vhdx"),
        (r"\\files\vms\os.vhdx", r"\\files\vms\os.vhdx"),
        (r"c:\clusterstorage\Volume1\web\os.avhdx", r"\\files\csv\Volume1\web\os.avhdx"),
        (r"C:\ClusterStorage\Volume2\os.vhdx", r"\\files\two\os.vhdx"),
    ],
)
def test_local_paths_become_shares(path: str, expected: str) -> None:
    shares = {r"C:\ClusterStorage": r"\\files\csv", r"C:\ClusterStorage\Volume2": "\\\\files\\two\\"}
    config = parsed(endpoint="hv1", smb={"shares": shares})
    assert unc(path, "hv1", config.shares) == expected


@pytest.mark.parametrize("path", ["\\\\?\\Volume{b75e2c83-0000}\\os.vhdx", "os.vhdx", ""])
def test_paths_that_no_share_leads_to(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        unc(path, "hv1", {})


def test_checkpoints_of_ours_are_known_by_name() -> None:
    name = _names.checkpoint_name("run-1", Consistency.FILESYSTEM)
    assert _names.parse_checkpoint(name) == ("run-1", Consistency.FILESYSTEM)
    assert len(_names.checkpoint_name("x" * 200, Consistency.OFFLINE)) == 100
    for other in ("", "rehost", "rehost-run-1", "Rehost-run-1 (crash)", "before (crash)", "rehost-x (unknown)"):
        assert _names.parse_checkpoint(other) is None


def test_notes_that_are_malformed_are_left_out() -> None:
    good = '<INSTANCE CLASSNAME="X"><PROPERTY NAME="Name"><VALUE>rehost-b</VALUE></PROPERTY><PROPERTY NAME="Data"><VALUE>id</VALUE></PROPERTY></INSTANCE>'
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'
    items = [
        good,
        good.replace("rehost-b", "rehost-a"),
        good.replace("rehost-b", "other"),
        "<x",
        bomb,
        None,
        7,
        good * 900,
    ]
    assert [(note.run, note.reference) for note in _names.parse_notes(items)] == [("a", "id"), ("b", "id")]
    assert _names.parse_notes(None) == []


def test_return_values_have_their_documented_names() -> None:
    assert told("CreateSnapshot", 32775) == "CreateSnapshot: Invalid state for this operation (32775)"
    assert told("why", 77) == "why (77)"
    assert told("why", 0) == "why"


def test_lists_as_windows_powershell_writes_some() -> None:
    assert _plain({"a": {"value": [{"value": [], "Count": 0}], "Count": 1}}) == {"a": [[]]}


def test_a_record_of_the_barest_answer() -> None:
    machine = record({"id": "ab", "name": "web"}, host="HV1", cluster="", build=20348)
    assert (machine.id, machine.disks, machine.nics, machine.checkpoints) == ("AB", [], [], [])


def test_every_script_says_what_it_does_and_takes_no_text_apart() -> None:
    folder = resources.files("rehost.sources.hyperv").joinpath("scripts")
    names = sorted(each.name.removesuffix(".ps1") for each in folder.iterdir())
    assert set(names) > _scripts.READ_ONLY
    for name in names:
        text = _scripts.text(name)
        assert text.startswith("# "), name
        assert "param(" in text, name
        assert "$ErrorActionPreference = 'Stop'" in text, name
        assert "Invoke-Expression" not in text, name
        assert ("Changes nothing." in text) == (name in _scripts.READ_ONLY), name


class _Record:
    """An error record of PowerShell's, as pypsrp has it."""

    category = 5
    fq_error = "InvalidParameter,Microsoft.HyperV.PowerShell.Commands.GetVM"

    def __str__(self) -> str:
        return "Hyper-V konnte keinen virtuellen Computer mit dieser ID finden."


def test_a_machine_that_is_gone_is_known_in_every_language_of_windows() -> None:
    session = Session.__new__(Session)
    session._endpoint, session._username = Endpoint("hv1", 5985), "rehost"
    assert isinstance(session._failed("points", [_Record()], {"Id": "5B3A"}), MachineGone)
    assert isinstance(session._failed("list", [_Record()], {}), ScriptFailed)
