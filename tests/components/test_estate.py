"""Which resources an estate becomes, below which parents, in which order, with which inputs, and what is protected."""

from __future__ import annotations

from tests.components.conftest import Asked, Make

COMMON = """
sources: {exports: {type: images, path: ../exports}}
schedules: {twice: {every: 12h, keepImages: 5}}
launchConfigs:
  small: {instanceType: t3.small, tags: {environment: test, size: small}}
  kept: {instanceType: m7i.large, protect: true, subnet: subnet-0123456789abcdef0, publicIp: false}
"""
SERVERS = """
servers:
  db-01: {source: exports, locator: {name: db-01}, schedule: twice, launchConfig: kept, tags: {tier: db}}
  web-01: {source: exports, locator: {name: web-01}, schedule: twice, launchConfig: small, image: {conversion: register}}
  web-02: {source: exports, locator: {name: web-02}, schedule: twice, launchConfig: small}
  lone: {source: exports, locator: {path: lone.raw}}
"""
SHOP = """
applications:
  shop:
    phase: %s
    tags: {tier: shop, owner: team}
    groups:
      web: {servers: [web-01, web-02], after: [db]}
      db: {servers: [db-01]}
"""
REPLICATE = COMMON + SERVERS + SHOP % "replicate"
TEST = COMMON + SERVERS + SHOP % "test"


def of(made: dict[str, Asked], kind: str) -> set[str]:
    return {asked.name for asked in made.values() if asked.kind == kind}


def test_replicating_makes_jobs_and_a_readiness(make: Make) -> None:
    made = make(REPLICATE)
    assert of(made, "ReplicationJob") == {"db-01", "web-01", "web-02", "lone"}
    assert of(made, "Readiness") == {"shop-replicate"}
    assert of(made, "MachineImage") == of(made, "Instance") == set()
    assert not any(asked.protected for asked in made.values())


def test_testing_adds_an_image_and_an_instance_a_server(make: Make) -> None:
    made = make(TEST)
    assert of(made, "ReplicationJob") == {"db-01", "web-01", "web-02", "lone"}
    assert of(made, "Readiness") == {"shop-test"}
    assert of(made, "MachineImage") == of(made, "Instance") == {"db-01", "web-01", "web-02"}


def test_the_types_that_stand_in_every_state(make: Make) -> None:
    assert {asked.type for asked in make(TEST).values()} == {
        "rehost:index:Estate",
        "rehost:index:Application",
        "rehost:index:Server",
        "pulumi-python:dynamic/rehost:ReplicationJob",
        "pulumi-python:dynamic/rehost:Readiness",
        "pulumi-python:dynamic/rehost:MachineImage",
        "pulumi-python:dynamic/rehost:Instance",
        "pulumi-python:dynamic/rehost:Milestone",
        "pulumi-python:dynamic/rehost:Phase",
    }


def test_parents(make: Make) -> None:
    made = make(TEST)
    assert made["Application/shop"].parent == made["Server/lone"].parent == "Estate/estate"
    for server in ("db-01", "web-01", "web-02"):
        assert made[f"Server/{server}"].parent == "Application/shop"
        for kind in ("ReplicationJob", "MachineImage", "Instance"):
            assert made[f"{kind}/{server}"].parent == f"Server/{server}"
    assert made["Readiness/shop-test"].parent == "Application/shop"


def test_a_phase_moves_no_job(make: Make) -> None:
    """Another phase must not rename, move or change what replicates already."""
    before, after = make(REPLICATE), make(TEST)
    for server in ("db-01", "web-01", "web-02", "lone"):
        assert before[f"ReplicationJob/{server}"] == after[f"ReplicationJob/{server}"]


def test_readiness_comes_after_every_job_of_its_application(make: Make) -> None:
    readiness = make(REPLICATE)["Readiness/shop-replicate"]
    assert {"ReplicationJob/db-01", "ReplicationJob/web-01", "ReplicationJob/web-02"} <= readiness.after
    assert "ReplicationJob/lone" not in readiness.after
    assert readiness.inputs["jobs"] == {server: f"id-{server}" for server in ("db-01", "web-01", "web-02")}


def test_groups_launch_in_order(make: Make) -> None:
    made = make(TEST)
    assert "Readiness/shop-test" in made["MachineImage/db-01"].after & made["Instance/db-01"].after
    assert not [label for label in made["Instance/db-01"].after if label.startswith("Instance/")]
    for server in ("web-01", "web-02"):
        for kind in ("MachineImage", "Instance"):
            assert {"Readiness/shop-test", "Instance/db-01"} <= made[f"{kind}/{server}"].after
        assert f"MachineImage/{server}" in made[f"Instance/{server}"].after
    assert "Instance/web-01" not in made["Instance/web-02"].after, "servers of one group launch side by side"


def test_what_is_protected(make: Make) -> None:
    made = make(TEST)
    assert {label for label, asked in made.items() if asked.protected} == {"Instance/db-01"}


def test_the_inputs_of_a_job(make: Make) -> None:
    job = make(TEST)["ReplicationJob/web-01"].inputs
    assert job["image"]["conversion"] == "register"
    assert {key: job[key] for key in ("stack", "server", "application", "sourceName", "locator", "quiesce")} == {
        "stack": "dev", "server": "web-01", "application": "shop", "sourceName": "exports",
        "locator": {"name": "web-01"}, "quiesce": "try",
    }  # fmt: skip
    assert job["source"]["type"] == "images"
    assert job["schedule"] == {"every_seconds": 43200, "keep_images": 5}


def test_a_server_of_no_application(make: Make) -> None:
    made = make(TEST)
    job = made["ReplicationJob/lone"].inputs
    assert "application" not in job
    assert job["schedule"] == {"run_once": True, "keep_images": 3}
    assert "Instance/lone" not in made


def test_nothing_is_null(make: Make) -> None:
    """The engine drops nulls on the way to the state: an input that is null would be a difference for ever."""

    def nulls(value: object, where: str) -> list[str]:
        if isinstance(value, dict):
            return [each for key, entry in value.items() for each in nulls(entry, f"{where}.{key}")]
        return [where] if value is None else []

    outputs = {"jobId", "imageId", "runId", "takenAt", "instanceId", "privateAddress", "publicAddress", "run"}
    found = [each for label, asked in make(TEST).items() for each in nulls(asked.inputs, label)]
    assert [each for each in found if each.rsplit(".", 1)[-1] not in outputs] == []


def test_the_inputs_of_an_instance(make: Make) -> None:
    made = make(TEST)
    instance = made["Instance/db-01"].inputs
    assert (instance["instanceType"], instance["subnet"], instance["publicIp"]) == (
        "m7i.large",
        "subnet-0123456789abcdef0",
        False,
    )
    assert (instance["imageId"], instance["imdsv2"]) == ("id-db-01", "required")
    assert (instance["stack"], instance["server"]) == ("dev", "db-01")


def test_tags_from_the_widest_to_the_narrowest(make: Make) -> None:
    """The server's win over its application's, the launch configuration's over both, as docs/spec.md says."""
    made = make(TEST)
    assert made["ReplicationJob/db-01"].inputs["tags"] == {"tier": "db", "owner": "team"}
    assert made["Instance/db-01"].inputs["tags"] == {"tier": "db", "owner": "team"}
    assert made["Instance/web-01"].inputs["tags"] == {
        "tier": "shop", "owner": "team", "environment": "test", "size": "small",
    }  # fmt: skip


def test_a_pinned_run(make: Make) -> None:
    pinned = TEST.replace("{conversion: register}", "{conversion: register, run: run-7}")
    made = make(pinned)
    assert made["MachineImage/web-01"].inputs["run"] == "run-7"
    assert made["MachineImage/web-02"].inputs.get("run") is None
    assert made["MachineImage/web-01"].inputs["jobId"] == "id-web-01"


def test_waiting(make: Make) -> None:
    """A launch needs images, whatever the stack's setting says."""
    assert make(REPLICATE, "image")["Readiness/shop-replicate"].inputs["wait"] == "image"
    assert make(REPLICATE, "accepted")["Readiness/shop-replicate"].inputs["wait"] == "accepted"
    assert make(TEST, "accepted")["Readiness/shop-test"].inputs["wait"] == "image"


def test_the_order_in_the_file_does_not_matter(make: Make) -> None:
    turned = TEST.replace(
        "      web: {servers: [web-01, web-02], after: [db]}\n      db: {servers: [db-01]}\n",
        "      db: {servers: [db-01]}\n      web: {servers: [web-01, web-02], after: [db]}\n",
    )
    assert turned != TEST
    assert make(turned) == make(TEST)
