"""The model of Hyper-V against Microsoft's pages, which each test names (learn.microsoft.com/windows/win32/hyperv_v2/...)."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehost.sources.vhd import open_disk
from sandbox.hyperv import HyperVHost, Machine
from sandbox.hyperv.model import from_text
from sandbox.hyperv.powershell import PowerShellError, Unsupported
from tests.sandbox.hyperv.conftest import MIB, HostFiles, content, run

GRAIN = 64 * 1024

_SERVICE = "$service = Get-CimInstance -Namespace root/virtualization/v2 -ClassName {service}\n"
_CHECKPOINT = (
    "param($Id, $Level)\n"
    "$ns = 'root\\virtualization\\v2'\n"
    "$vm = Get-CimInstance -Namespace $ns -ClassName Msvm_ComputerSystem -Filter \"Name='$Id'\"\n"
    "$service = Get-CimInstance -Namespace $ns -ClassName Msvm_VirtualSystemSnapshotService\n"
    "$text = ''; $type = 2\n"
    "if ($Level -gt 0) {\n"
    "  $class = Get-CimClass -Namespace $ns -ClassName Msvm_VirtualSystemSnapshotSettingData\n"
    "  $made = New-CimInstance -CimClass $class -ClientOnly -Property @{ ConsistencyLevel = [byte]$Level }\n"
    "  $serializer = [Microsoft.Management.Infrastructure.Serialization.CimSerializer]::Create()\n"
    "  $none = [Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions]::None\n"
    "  $text = [System.Text.Encoding]::Unicode.GetString($serializer.Serialize($made, $none)); $type = 32768\n"
    "}\n"
    "$arguments = @{ AffectedSystem = $vm; SnapshotSettings = $text; SnapshotType = [uint16]$type }\n"
    "$result = Invoke-CimMethod -InputObject $service -MethodName CreateSnapshot -Arguments $arguments\n"
    "$result.ReturnValue\n"
    "if ($result.ReturnValue -eq 4096) {\n"
    "  $job = Get-CimInstance -InputObject $result.Job\n"
    "  $job.JobState; $job.ErrorCode; $job.ErrorDescription\n"
    "}\n"
)


def checkpoint(host: HyperVHost, machine: Machine, level: int) -> list[Any]:
    return run(_CHECKPOINT, host=host, Id=machine.id, Level=level)


def changes(host: HyperVHost, path: str, since: str, offset: int, length: int) -> list[Any]:
    script = (
        "param($Path, $Since, [uint64]$Offset, [uint64]$Length)\n"
        + _SERVICE.format(service="Msvm_ImageManagementService")
        + "$r = Invoke-CimMethod -InputObject $service -MethodName GetVirtualDiskChanges -Arguments @{ Path = $Path; LimitId = $Since; "
        "TargetSnapshotId = ''; ByteOffset = $Offset; ByteLength = $Length }\n"
        "$r.ReturnValue; $r.ProcessedByteLength; ,$r.ChangedByteOffsets; ,$r.ChangedByteLengths"
    )
    value, processed, offsets, lengths = run(script, host=host, Path=path, Since=since, Offset=offset, Length=length)
    return [
        value,
        processed,
        list(zip(offsets, lengths, strict=True)) if isinstance(offsets, list) and offsets[0] is not None else [],
    ]


@pytest.fixture
def machine(host: HyperVHost) -> Machine:
    return host.add_machine("web", [8 * MIB, 4 * MIB])


@pytest.mark.parametrize("format_", ["vhdx", "vhd"])
def test_checkpoints_freeze_what_was_there_whatever_is_merged_in_any_order(host: HyperVHost, format_: str) -> None:
    """createsnapshot-msvm-virtualsystemsnapshotservice and destroysnapshot-...: the disks of a checkpoint hold its moment."""
    chance = random.Random(11)
    machine = host.add_machine("web", [{"size": 4 * MIB, "format": format_}])
    disk, live = machine.disks[0], bytearray(4 * MIB)
    moments: dict[str, bytes] = {}
    for round_ in range(9):
        for _ in range(chance.randrange(1, 4)):
            at, size = chance.randrange(0, 4 * MIB // 512) * 512, 512 * chance.randrange(1, 300)
            data = chance.randbytes(min(size, 4 * MIB - at))
            host.write(machine, 0, at, data)
            live[at : at + len(data)] = data
        if chance.random() < 0.6 or not machine.checkpoints:
            made = host.estate.checkpoint(machine, 2, f"round {round_}")
            moments[made.id] = bytes(live)
        else:
            gone = chance.choice(machine.checkpoints)
            host.estate.remove_checkpoint(machine, gone)
            host.estate.wait_merged()
            del moments[gone.id]
        for each in machine.checkpoints:
            assert content(host, each.frozen[disk].name) == moments[each.id]
        assert content(host, disk.file().name) == live
    for each in list(machine.checkpoints):
        host.estate.remove_checkpoint(machine, each)
    host.estate.wait_merged()
    assert [file.name for file in disk.files()] == [f"C:\\VMs\\web\\disk0.{format_}"]
    assert content(host, disk.file().name) == live
    assert [path.name for path in host.drive.folder.rglob("*vhd*")] == [f"disk0.{format_}"]


def test_a_merge_is_noticed_by_who_reads_the_chain(host: HyperVHost, machine: Machine) -> None:
    first = host.estate.checkpoint(machine, 2)
    host.write(machine, 0, 0, b"x" * 512)
    second = host.estate.checkpoint(machine, 2)
    disk = open_disk(second.frozen[machine.disks[0]].name, _Live(host))
    try:
        disk.check()
        host.estate.remove_checkpoint(machine, first)
        host.estate.wait_merged()
        with pytest.raises(Exception, match="chang"):
            disk.check()
    finally:
        disk.close()


class _Live(HostFiles):
    """Files that are read when they are asked, not when they are opened."""

    def open(self, path: str) -> Any:
        from rehost.sources.vhd import LocalFiles

        return LocalFiles().open(str(self._host.drive.local(path)))


def test_changes_are_those_since_the_id_up_to_the_frozen_moment(host: HyperVHost, machine: Machine) -> None:
    """msvm-virtualsystemreferencepoint, msvm-imagemanagementservice-getvirtualdiskchanges."""
    disk = machine.disks[0]
    host.write(machine, 0, 0, b"0" * 512)
    point = host.estate.reference(machine, 2)
    since = point.tracking[disk]
    assert changes(host, disk.file().name, since, 0, 4 * MIB) == [0, 4 * MIB, []]
    host.write(machine, 0, 5 * GRAIN - 512, b"1" * 1024)
    made = host.estate.checkpoint(machine, 2)
    host.write(machine, 0, 100 * GRAIN, b"2" * 512)
    frozen, live = made.frozen[disk].name, disk.file().name
    assert changes(host, frozen, since, 0, 4 * MIB) == [0, 4 * MIB, [(4 * GRAIN, 2 * GRAIN)]]
    assert changes(host, frozen, since, 4 * MIB, 4 * MIB) == [0, 4 * MIB, []]
    assert changes(host, live, since, 4 * MIB, 4 * MIB) == [0, 4 * MIB, [(100 * GRAIN, GRAIN)]]
    assert changes(host, frozen, since, 4 * GRAIN + 512, GRAIN) == [0, GRAIN, [(4 * GRAIN + 512, GRAIN)]]
    host.estate.remove_checkpoint(machine, made)
    host.estate.wait_merged()
    assert changes(host, live.rsplit("_", 1)[0] + ".vhdx", since, 4 * MIB, 4 * MIB)[2] == [(100 * GRAIN, GRAIN)]


def test_changes_are_refused_as_the_page_says(host: HyperVHost, machine: Machine) -> None:
    """Its return values; "ByteLength ... must be less than the size of the Virtual Disk"."""
    disk = machine.disks[0]
    name, since = disk.file().name, host.estate.reference(machine, 2).tracking[disk]
    assert changes(host, name, "rctX:unknown", 0, MIB)[0] == 32773
    assert changes(host, name, since, 0, 8 * MIB)[0] == 32773
    assert changes(host, name, since, 8 * MIB, MIB)[0] == 32773
    assert changes(host, "C:\\VMs\\no.vhdx", since, 0, MIB)[0] == 32779
    host.faults.add("method", "GetVirtualDiskChanges", value=32768)
    assert changes(host, name, since, 0, MIB)[0] == 32768
    disk.tracker.reset()
    assert changes(host, name, since, 0, MIB)[0] == 32773


def test_changes_may_be_answered_shorter_or_as_a_job(host: HyperVHost, machine: Machine) -> None:
    disk = machine.disks[0]
    name, since = disk.file().name, host.estate.reference(machine, 2).tracking[disk]
    host.write(machine, 0, 0, b"1" * (4 * GRAIN))
    host.faults.add("method", "GetVirtualDiskChanges", processed=GRAIN)
    assert changes(host, name, since, 0, MIB) == [0, GRAIN, [(0, GRAIN)]]
    host.faults.add("method", "GetVirtualDiskChanges", processed=GRAIN)
    assert changes(host, name, since, 2 * GRAIN, MIB) == [0, GRAIN, [(2 * GRAIN, GRAIN)]]
    host.faults.add("method", "GetVirtualDiskChanges", job=True)
    assert changes(host, name, since, 0, MIB)[0] == 4096
    host.faults.add("method", "GetVirtualDiskChanges", message="The disk is gone.", code=32779)
    assert changes(host, name, since, 0, MIB)[0] == 4096
    jobs = [(job.current().state, job.code, job.description) for job in host.estate.jobs.values()]
    assert jobs == [(7, 0, ""), (10, 32779, "The disk is gone.")]


def test_a_conversion_stands_for_the_moment_of_the_checkpoint(host: HyperVHost, machine: Machine) -> None:
    """msvm-virtualsystemsnapshotservice-converttoreferencepoint: the snapshot is deleted; only recovery snapshots can be converted."""
    disk = machine.disks[0]
    recovery, standard = host.estate.checkpoint(machine, 2), host.estate.checkpoint(machine, 0)
    host.write(machine, 0, 10 * GRAIN, b"1" * 512)
    script = (
        "param($Snapshot)\n"
        + _SERVICE.format(service="Msvm_VirtualSystemSnapshotService")
        + "$it = Get-CimInstance -Namespace root/virtualization/v2 -ClassName Msvm_VirtualSystemSettingData -Filter \"InstanceID='Microsoft:$Snapshot'\"\n"
        "$it.VirtualSystemType\n"
        "$r = Invoke-CimMethod -InputObject $service -MethodName ConvertToReferencePoint -Arguments @{ AffectedSnapshot = $it; ReferencePointSettings = '' }\n"
        "$job = Get-CimInstance -InputObject $r.Job\n"
        "$job.JobState\n"
        "(Get-CimAssociatedInstance -InputObject $job -ResultClassName Msvm_VirtualSystemReferencePoint).ReferencePointType"
    )
    assert run(script, host=host, Snapshot=standard.id) == ["Microsoft:Hyper-V:Snapshot:Realized", 10, None]
    assert run(script, host=host, Snapshot=recovery.id) == ["Microsoft:Hyper-V:Snapshot:Recovery", 7, 2]
    host.estate.wait_merged()
    assert machine.checkpoints == [standard]
    since = machine.references[0].tracking[disk]
    assert changes(host, disk.file().name, since, 0, 4 * MIB)[2] == [(10 * GRAIN, GRAIN)]


@pytest.mark.parametrize(
    ("options", "level", "code"),
    [
        ({"services": {"vss": (False, False)}}, 1, 32770),
        ({"services": {"vss": (True, False)}}, 1, 32770),
        ({"disks": [{"size": MIB, "shared": True}]}, 2, 32770),
        ({"disks": [MIB, {"size": MIB, "passed": 3}]}, 2, 32770),
    ],
    ids=["integration off", "no contact", "shared disk", "pass-through"],
)
def test_checkpoints_that_hyperv_cannot_take(host: HyperVHost, options: dict[str, Any], level: int, code: int) -> None:
    """msvm-virtualsystemsnapshotsettingdata (ConsistencyLevel, IgnoreNonSnapshottableDisks), msvm-concretejob (JobState 10)."""
    machine = host.add_machine("web", **({"disks": [MIB]} | options))
    value, state, error, description = checkpoint(host, machine, level)
    assert (value, state, error) == (4096, 10, code)
    assert "web" in description
    assert machine.checkpoints == []


def test_checkpoints_by_level_and_by_fault(host: HyperVHost, machine: Machine) -> None:
    for level, kind in ((1, "application"), (2, "crash"), (0, "standard")):
        host.faults.add("checkpoint", kind, message="VSS said no.", code=32768)
        assert checkpoint(host, machine, level) == [4096, 10, 32768, "VSS said no."]
        assert checkpoint(host, machine, level) == [4096, 7, 0, ""]
    assert [each.level for each in machine.checkpoints] == [1, 2, 0]
    host.node.job_seconds = 600.0
    assert checkpoint(host, machine, 2)[:2] == [4096, 4]


def test_a_merge_that_is_held_leaves_the_files_until_it_goes_on(host: HyperVHost, machine: Machine) -> None:
    host.estate.merges_held.clear()
    host.estate.remove_checkpoint(machine, host.estate.checkpoint(machine, 2))
    assert run(
        "param($Id) (Get-VM -Id $Id).OperationalStatus | ForEach-Object { [string]$_ }", host=host, Id=machine.id
    ) == [
        "Ok",
        "MergingDisks",
    ]
    assert (machine.checkpoints, len(list(machine.disks[0].files()))) == ([], 2)
    host.estate.merges_held.set()
    host.estate.wait_merged()
    assert len(list(machine.disks[0].files())) == 1


def test_a_guest_stands_still_and_its_writes_are_in_the_checkpoint(host: HyperVHost, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    with raw.open("wb") as file:
        file.truncate(8 * MIB)
        file.seek(3 * MIB)
        file.write(b"before" * 1000)
    machine = host.add_machine("web", [raw], guest=True)
    disk = machine.disks[0]
    assert content(host, disk.file().name) == raw.read_bytes()
    program = (
        "import os, sys\nfd = os.open(sys.argv[1], os.O_RDWR)\nprint('up', flush=True)\nn = 0\n"
        "while True:\n    n += 1\n    os.pwrite(fd, n.to_bytes(8, 'big') * 64, 65536); os.pwrite(fd, n.to_bytes(8, 'big') * 64, 4 << 20)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(raw)], stdout=subprocess.PIPE) as guest:
        try:
            assert guest.stdout is not None
            assert guest.stdout.readline() == b"up\n"
            host.attach_guest(machine, guest.pid)
            point = host.estate.reference(machine, 2)
            made = host.estate.checkpoint(machine, 2)
            held = content(host, made.frozen[disk].name)
            first, second = (int.from_bytes(held[at : at + 8], "big") for at in (65536, 4 * MIB))
            assert first - second in (0, 1), "both writes are of one moment"
            found = changes(host, made.frozen[disk].name, point.tracking[disk], 0, 4 * MIB)[2]
            assert found in ([], [(65536, GRAIN)])
        finally:
            host.attach_guest(machine, 0)
            guest.kill()


def test_a_cluster_moves_a_machine(tmp_path: Path) -> None:
    """failoverclusters: Get-ClusterGroup's OwnerNode; Get-VM lists what runs on its host."""
    with HyperVHost(tmp_path, cluster="CL1") as one, HyperVHost(tmp_path, name="HV2", site=one) as two:
        machine = one.add_machine("web", [MIB])
        script = "param($Id) (Get-ClusterGroup -VMId $Id).OwnerNode.Name; @(Get-VM).Count; (Get-ClusterNode).Name"
        assert run(script, host=one, Id=machine.id) == ["HV1", 1, "HV1", "HV2"]
        one.move(machine, "HV2")
        assert run(script, host=one, Id=machine.id) == ["HV2", 0, "HV1", "HV2"]
        assert run(script, host=two, Id=machine.id) == ["HV2", 1, "HV1", "HV2"]
        with pytest.raises(PowerShellError, match="unable to find a virtual machine"):
            run("param($Id) Get-VM -Id $Id -ErrorAction Stop", host=one, Id=machine.id)
        two.stop()
        assert run("Get-ClusterNode | ForEach-Object { [string]$_.State }", host=one) == ["Up", "Down"]


def test_what_an_older_windows_does_not_have(tmp_path: Path) -> None:
    """ "Minimum supported server: Windows Server 2016" on the pages of reference points; Get-VMSecurity came with it, too."""
    with HyperVHost(tmp_path, windows="2012R2") as host:
        machine = host.add_machine("web", [{"size": 2 * MIB, "format": "vhd"}], generation=1)
        for script, error in (
            (
                "Get-CimInstance -Namespace root/virtualization/v2 -ClassName Msvm_VirtualSystemReferencePoint",
                "HRESULT 0x80041010",
            ),
            ("Get-VMSecurity -VM (Get-VM)", "CommandNotFoundException"),
            ("Get-CimInstance -Namespace root/weather -ClassName Msvm_ComputerSystem", "HRESULT 0x8004100e"),
            ("Get-CimInstance -ClassName Msvm_ComputerSystem", "HRESULT 0x80041010"),
            ("Get-VMFirmware -VM (Get-VM)", "InvalidOperation"),
            ("Import-Module -Name VirtualMachineManager -ErrorAction Stop", "Modules_ModuleNotFound"),
        ):
            with pytest.raises(PowerShellError) as raised:
                run(script, host=host)
            assert raised.value.info.error_id.startswith(error)
        assert checkpoint(host, machine, 0)[:2] == [4096, 7]
        host.write(machine, 0, 0, b"v" * 512)
        assert content(host, machine.disks[0].file().name)[:512] == b"v" * 512
        assert run("(Get-CimInstance -ClassName Win32_OperatingSystem).BuildNumber", host=host) == ["9600"]


def _pairs(call: str) -> str:
    return (
        "param($Id, $Name, $Data)\n$ns = 'root/virtualization/v2'\n"
        "$vm = Get-CimInstance -Namespace $ns -ClassName Msvm_ComputerSystem -Filter \"Name='$Id'\"\n"
        + _SERVICE.format(service="Msvm_VirtualSystemManagementService")
        + "$serializer = [Microsoft.Management.Infrastructure.Serialization.CimSerializer]::Create()\n"
        "$item = New-CimInstance -Namespace $ns -ClassName Msvm_KvpExchangeDataItem -ClientOnly -Property @{ Name = $Name; Data = $Data; Source = [uint16]4 }\n"
        "$text = [Text.Encoding]::Unicode.GetString($serializer.Serialize($item, "
        "[Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions]::None))\n"
        f"$r = Invoke-CimMethod -InputObject $service -MethodName {call} -Arguments @{{ TargetSystem = $vm; DataItems = @($text) }}\n"
        "$r.ReturnValue; if ($r.Job) { (Get-CimInstance -InputObject $r.Job).JobState }"
    )


def test_host_only_notes(host: HyperVHost, machine: Machine) -> None:
    """addkvpitems-msvm-virtualsystemmanagementservice: what exists is not added; msvm-kvpexchangedataitem: MaxLen 1024."""
    asked: list[tuple[str, str, list[int]]] = [
        ("AddKvpItems", "one <&>", [4096, 7]),
        ("AddKvpItems", "again", [4096, 10]),
        ("ModifyKvpItems", "two", [4096, 7]),
        ("ModifyKvpItems", "x" * 1025, [32773]),
        ("RemoveKvpItems", "", [4096, 7]),
        ("RemoveKvpItems", "", [4096, 10]),
    ]
    seen = []
    for call, data, expected in asked:
        assert run(_pairs(call), host=host, Id=machine.id, Name="rehost-1", Data=data) == expected
        seen.append(dict(machine.notes))
    assert seen == [{"rehost-1": "one <&>"}] * 2 + [{"rehost-1": "two"}] * 2 + [{}, {}]


def test_power(host: HyperVHost, machine: Machine) -> None:
    script = "param($Do) $vm = Get-VM -Name web; {0}; [string](Get-VM -Name web).State"
    for call, state in (
        ("Save-VM -VM $vm", "Saved"),
        ("Start-VM -VM $vm", "Running"),
        ("Stop-VM -VM $vm -TurnOff -Force", "Off"),
        ("Start-VM -VM $vm", "Running"),
    ):
        assert run(script.replace("{0}", call), host=host) == [state]
    with pytest.raises(PowerShellError, match="current state"):
        run("Start-VM -VM (Get-VM -Name web) -ErrorAction Stop", host=host)
    shut = "$c = Get-CimInstance -Namespace root/virtualization/v2 -ClassName Msvm_ShutdownComponent; (Invoke-CimMethod -InputObject $c -MethodName InitiateShutdown -Arguments @{ Force = $true; Reason = 'test' }).ReturnValue"
    machine.obeys = False
    assert (run(shut, host=host), machine.state) == ([0], "Running")
    machine.obeys = True
    assert (run(shut, host=host), machine.state) == ([0], "Off")


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("Get-CimInstance -ClassName Win32_Weather", "the CIM class Win32_Weather"),
        ("(Get-CimInstance -ClassName Win32_OperatingSystem).Weather", "the property Weather of Win32_OperatingSystem"),
        (
            "Get-CimInstance -Namespace root/virtualization/v2 -ClassName Msvm_ComputerSystem -Filter \"Weather='x'\"",
            "the property Weather of Msvm_ComputerSystem",
        ),
        (
            _SERVICE.format(service="Msvm_ImageManagementService")
            + "Invoke-CimMethod -InputObject $service -MethodName Rain",
            "the method Rain",
        ),
        (
            _SERVICE.format(service="Msvm_ImageManagementService")
            + "Invoke-CimMethod -InputObject $service -MethodName GetVirtualDiskChanges -Arguments @{ Pfad = 'x' }",
            "the argument Pfad of GetVirtualDiskChanges",
        ),
        (
            _SERVICE.format(service="Msvm_ImageManagementService")
            + "Invoke-CimMethod -InputObject $service -MethodName GetVirtualDiskChanges -Arguments @{ Path = 7 }",
            "the argument Path of GetVirtualDiskChanges",
        ),
        (
            "Get-CimInstance -Namespace root/virtualization/v2 -ClassName Msvm_ProcessorSettingData",
            "instances of Msvm_ProcessorSettingData, which it does not model",
        ),
        ("(Get-VM).Weather", "the property Weather of Microsoft.HyperV.PowerShell.VirtualMachine"),
        ("Get-VMSnapshot -VM 'web'", "System.String for -VM of Get-VMSnapshot"),
    ],
)
def test_names_that_no_page_has(host: HyperVHost, machine: Machine, script: str, named: str) -> None:
    with pytest.raises(Unsupported) as raised:
        run(script, host=host)
    assert named in str(raised.value)


def test_a_machine_that_is_gone_is_said_to_be(host: HyperVHost, machine: Machine) -> None:
    script = "param($Ask) $vm = Get-VM -Name web; $ns = 'root/virtualization/v2'\n"
    found: Iterator[Any] = iter(run(script + "$vm", host=host))
    assert next(found).machine is machine
    host.estate.delete(machine)
    assert list(host.drive.folder.rglob("*.vhdx")) == []
    with pytest.raises(PowerShellError, match="unable to find a virtual machine"):
        run("Get-VM -Name web -ErrorAction Stop", host=host)
    assert run("@(Get-VM).Count", host=host) == [0]


def test_a_disk_grows(host: HyperVHost, machine: Machine) -> None:
    host.write(machine, 1, MIB, b"kept" * 128)
    machine.disks[1].resize(6 * MIB)
    held = content(host, machine.disks[1].file().name)
    assert (len(held), held[MIB : MIB + 512]) == (6 * MIB, b"kept" * 128)
    assert run("(Get-VHD -Path 'c:\\vms\\WEB\\disk1.vhdx').Size", host=host) == [6 * MIB]


def test_what_belongs_to_what(host: HyperVHost, machine: Machine) -> None:
    """msvm-virtualsystemsettingdatacomponent, msvm-snapshotofvirtualsystem, msvm-systemdevice, msvm-referencepointofvirtualsystem."""
    host.estate.checkpoint(machine, 2)
    host.estate.checkpoint(machine, 0)
    host.estate.reference(machine, 2)
    host.add_machine("other", [MIB])
    script = (
        "param($Id)\n$vm = Get-CimInstance -Namespace root/virtualization/v2 -ClassName Msvm_ComputerSystem -Filter \"Name='$Id'\"\n"
        "$settings = @(Get-CimAssociatedInstance -InputObject $vm -ResultClassName Msvm_VirtualSystemSettingData)\n"
        "$settings | ForEach-Object { $_.VirtualSystemType; @(Get-CimAssociatedInstance $_ -ResultClassName Msvm_StorageAllocationSettingData).Count }\n"
        "$vm | ForEach-Object { (Get-CimAssociatedInstance -InputObject $_ -ResultClassName Msvm_VssComponent).EnabledState }\n"
        "@(Get-CimAssociatedInstance -InputObject $vm -ResultClassName Msvm_VirtualSystemReferencePoint).Count"
    )
    kind = "Microsoft:Hyper-V:{}".format
    assert run(script, host=host, Id=machine.id) == [
        kind("System:Realized"), 2, kind("Snapshot:Recovery"), 2, kind("Snapshot:Realized"), 2, 2, 1
    ]  # fmt: skip
    with pytest.raises(Unsupported, match="associations from Msvm_ComputerSystem to Msvm_StorageAllocationSettingData"):
        run(script.replace("Msvm_VssComponent", "Msvm_StorageAllocationSettingData"), host=host, Id=machine.id)


def test_states_are_requested_and_snapshots_destroyed(host: HyperVHost, machine: Machine) -> None:
    """requeststatechange-msvm-computersystem (2 enabled, 3 disabled, 9 quiesce), destroysnapshot-msvm-virtualsystemsnapshotservice."""
    made = host.estate.checkpoint(machine, 2)
    ask = (
        "param($Id, $State)\n$vm = Get-CimInstance -Namespace root/virtualization/v2 -ClassName Msvm_ComputerSystem -Filter \"Name='$Id'\"\n"
        "(Invoke-CimMethod -InputObject $vm -MethodName RequestStateChange -Arguments @{ RequestedState = [uint16]$State }).ReturnValue"
    )
    for number, state in ((9, "Paused"), (2, "Running"), (3, "Off")):
        assert run(ask, host=host, Id=machine.id, State=number) == [4096]
        assert machine.state == state
    assert run(ask, host=host, Id=machine.id, State=77) == [32773]
    destroy = (
        "param($Id)\n$it = Get-CimInstance -Namespace root/virtualization/v2 -ClassName Msvm_VirtualSystemSettingData -Filter \"InstanceID='Microsoft:$Id'\"\n"
        + _SERVICE.format(service="Msvm_VirtualSystemSnapshotService")
        + "(Invoke-CimMethod -InputObject $service -MethodName DestroySnapshot -Arguments @{ AffectedSnapshot = $it }).ReturnValue"
    )
    assert run(destroy, host=host, Id=made.id) == [4096]
    assert run(destroy, host=host, Id=made.id) == [4]
    host.estate.wait_merged()


def test_what_the_image_service_says_of_a_disk(host: HyperVHost, machine: Machine) -> None:
    """getvirtualharddisksettingdata-msvm-imagemanagementservice: an embedded Msvm_VirtualHardDiskSettingData (Format 3 is VHDX,
    Type 4 differencing), and getvirtualharddiskstate-..."""
    frozen = host.estate.checkpoint(machine, 2).frozen[machine.disks[0]].name
    script = (
        "param($Path)\n"
        + _SERVICE.format(service="Msvm_ImageManagementService")
        + "(Invoke-CimMethod -InputObject $service -MethodName GetVirtualHardDiskSettingData -Arguments @{ Path = $Path }).SettingData\n"
        "(Invoke-CimMethod -InputObject $service -MethodName GetVirtualHardDiskState -Arguments @{ Path = $Path }).State"
    )
    settings, state = (from_text(text).values for text in run(script, host=host, Path=machine.disks[0].file().name))
    assert (settings["Format"], settings["Type"], settings["MaxInternalSize"]) == (3, 4, 8 * MIB)
    assert settings["ParentPath"] == frozen
    assert state["InUse"] is True
