"""Each concern of AWS caused, and what is asked counted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rehost.preflight import Finding, Raw
from rehost.waves import Standing

from .conftest import NOW, World


def estate(
    launch: str, *, phase: str = "test", servers: int = 1, image: str = "conversion: register", more: str = ""
) -> str:
    names = [f"web-{number:02}" for number in range(servers)]
    entries = "".join(
        f"  {name}: {{source: exports, locator: {{path: {name}.raw}}, launchConfig: web, image: {{{image}}}}}\n"
        for name in names
    )
    return (
        f"launchConfigs: {{web: {{{launch}}}}}\nservers:\n{entries}"
        f"applications: {{shop: {{phase: {phase}, groups: {{web: {{servers: [{', '.join(names)}]}}}}{more}}}}}\n"
    )


def ids(found: list[Finding], severity: str | None = None) -> set[str]:
    return {each.id for each in found if severity in (None, each.severity)}


def test_nothing_speaks_against_an_ordinary_launch(world: World) -> None:
    assert world.weigh(estate("instanceType: t3.micro")) == []


@pytest.mark.parametrize(
    ("launch", "image", "expected"),
    [
        ("instanceType: m7i.larg", "conversion: register", "instance-type"),
        ("instanceType: t3.micro, subnet: subnet-0123456789abcdef0", "conversion: register", "subnet"),
        ("instanceType: t3.micro, securityGroups: [sg-0123456789abcdef0]", "conversion: register", "security-group"),
        ("instanceType: t3.micro, keyName: nobodys", "conversion: register", "key-pair"),
        ("instanceType: t3.micro, instanceProfile: nobodys", "conversion: register", "instance-profile"),
        ("instanceType: t3.micro", "conversion: register, ena: false", None),
        ("instanceType: t2.micro", "conversion: register, bootMode: uefi", "instance-type-firmware"),
        ("instanceType: t2.micro", "conversion: register, bootMode: uefi, tpm: true", "instance-type-tpm"),
        ("instanceType: t3.micro", "conversion: import, role: nobodys", "import-role"),
        ("instanceType: t3.micro", "conversion: register, encrypt: true, kmsKey: alias/nobodys", "kms-key"),
    ],
)  # fmt: skip
def test_what_does_not_exist_or_fit_is_an_error_once_it_launches(
    world: World, launch: str, image: str, expected: str | None
) -> None:
    found = world.weigh(estate(launch, image=image))
    if expected is None:
        assert ids(found) <= {"instance-type-drivers"}
        return
    assert expected in ids(found, "error")
    [finding] = [each for each in found if each.id == expected]
    assert finding.servers == ("web-00",)
    assert finding.message
    assert finding.remedy
    before = world.weigh(estate(launch, image=image, phase="replicate"))
    severity = "error" if expected in ("import-role", "kms-key") else "warning"
    assert expected in ids(before, severity)


def test_a_group_of_another_network_and_an_address_out_of_range(world: World) -> None:
    ec2 = world.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/28")["Subnet"]["SubnetId"]
    other = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]
    group = next(each["GroupId"] for each in other if each["VpcId"] != vpc)
    config = f"instanceType: t3.micro, subnet: {subnet}, securityGroups: [{group}]"
    assert ids(world.weigh(estate(config))) == {"security-group-vpc"}
    for address in ("10.9.2.4", "10.9.1.3", "10.9.1.15"):
        assert ids(world.weigh(estate(f"instanceType: t3.micro, subnet: {subnet}, privateIp: {address}"))) == {
            "private-ip"
        }
    assert world.weigh(estate(f"instanceType: t3.micro, subnet: {subnet}, privateIp: 10.9.1.4")) == []
    full = world.weigh(estate(f"instanceType: t3.micro, subnet: {subnet}", servers=12))
    assert "has 11 free addresses, and 12 servers" in next(each.message for each in full if each.id == "subnet-full")


@pytest.mark.parametrize(("conversion", "quota"), [("register", "L_7A658B76"), ("import", "L_D18FCD1D")])
def test_volumes_count_as_what_the_conversion_makes(world: World, conversion: str, quota: str) -> None:
    world.sandbox.set_quotas(**{"L_7A658B76": 50, "L_D18FCD1D": 50, quota: 1})
    image, sizes = f"conversion: {conversion}", {"web-00": [2 << 40]}
    found = world.weigh(estate("instanceType: t3.micro", image=image), sizes=sizes)
    assert "volume-quota" in ids(found, "error")
    world.sandbox.set_quotas(**{quota: 3})
    assert "volume-quota" not in ids(world.weigh(estate("instanceType: t3.micro", image=image), sizes=sizes))


def test_quotas_hold_all_together_and_what_is_ignored_does_not_count(world: World) -> None:
    world.sandbox.set_quotas(L_1216C47A=0, L_7A658B76=1, L_309BACF6=20)
    sizes = {f"web-{number:02}": [2 << 40] for number in range(5)}
    found = world.weigh(estate("instanceType: t3.micro", servers=5), sizes=sizes)
    assert ids(found, "error") == {"vcpu-quota", "volume-quota"}
    # Other tests of this worker may have launched a server of the same name in the same sandbox.
    assert ids(found, "warning") - {"duplicate-name"} == {"snapshot-quota"}
    ignored = world.weigh(
        estate("instanceType: t3.micro", servers=5, more=", ignore: {vcpu-quota: asked for}"), sizes=sizes
    )
    [quota] = [each for each in ignored if each.id == "vcpu-quota"]
    assert quota.ignored == "asked for"
    assert not quota.is_error
    assert ignored[-1] is quota, "what is ignored comes last"


def test_an_error_of_a_source_is_not_ignored(world: World) -> None:
    more = ", ignore: {existing-snapshots: they go soon, no-tools: known}"
    raws = {
        "web-00": [
            Raw("existing-snapshots", "it has snapshots", "web-00", "error", "remove them"),
            Raw("no-tools", "none run", "web-00"),
        ]
    }
    found = world.weigh(estate("instanceType: t3.micro", more=more), raws=raws)
    assert [(each.id, each.is_error, each.ignored) for each in found] == [
        ("existing-snapshots", True, None),
        ("no-tools", False, "known"),
    ]
    assert "ignoring it does not help" in found[0].message


def test_a_wave_bars_a_cutover_and_tells_of_itself_before(world: World) -> None:
    opens, closes = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    waves = f"waves: {{one: {{applications: [shop], window: {{opens: {opens:%Y-%m-%dT%H:%M:%SZ}, closes: {closes:%Y-%m-%dT%H:%M:%SZ}}}}}}}\n"
    assert ids(world.weigh(estate("instanceType: t3.micro") + waves), "info") == {"window-not-open"}
    assert ids(world.weigh(estate("instanceType: t3.micro", phase="cutover") + waves), "warning") == {"window-not-open"}
    done = world.weigh(
        estate("instanceType: t3.micro", phase="cutover") + waves, standings={"shop": Standing("cutover")}
    )
    assert done == []


def test_what_may_not_be_asked_is_said_and_the_rest_is_weighed(world: World) -> None:
    world.sandbox.fault(
        action="error", service="servicequotas", operation="ListServiceQuotas", code="AccessDeniedException",
        message="not yours", status=400,
    )  # fmt: skip
    found = world.weigh(estate("instanceType: t3.micro, keyName: nobodys"))
    assert ids(found, "error") == {"key-pair"}
    assert [each.message for each in found if each.id == "cannot-ask"] == [
        "ListServiceQuotas is not allowed to these credentials: not yours"
    ]


def test_five_hundred_servers_cost_as_many_calls_as_one(world: World) -> None:
    ec2 = world.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ec2.create_key_pair(KeyName=f"key-{world.key}")
    config = f"instanceType: t3.micro, subnet: {subnet}, keyName: key-{world.key}"
    world.weigh(estate(config))
    few = world.sandbox.calls(world.key)
    world.weigh(estate(config, servers=500))
    many = world.sandbox.calls(world.key)
    assert {name: many[name] - few[name] for name in many} == few
