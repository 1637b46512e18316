"""`make demo SCENARIO=shop`: an application of three little Linux servers, which ask each other, all the way and once back.

They run in QEMU at their source and, at the same addresses, in the sandbox. Orders are placed all the while: they tell whether what was
cut over is what the source had last, and whether the source serves again after the way back. `build/demo/shop.json` has what was proved.
"""

from __future__ import annotations

import shutil
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import boto3
from rich.syntax import Syntax

from sandbox.machines import (
    SHOP,
    SHOP_NETWORK,
    VERSION_PATH,
)
from tools.demo import CACHE, FOLDER, ROOT, Demo, console
from tools.demo_project import STACK, DemoProject
from tools.demo_shop_source import ShopSource

APPLICATION = "shop"
WEB = SHOP["web-01"]
_SECONDS = 180

_SPEC = """\
# The shop: a database, an application server and a web server, in this order.
apiVersion: rehost/v1

sources:
  site: {{type: qemu, sockets: ../shop/sockets, scratch: ../shop/scratch}}

schedules:
  twice-a-day: {{every: 12h, keepImages: 5}}

launchConfigs:
  db: {{instanceType: t3.micro, subnet: {subnet}, securityGroups: [{db}], privateIp: {db_address}}}
  app: {{instanceType: t3.micro, subnet: {subnet}, securityGroups: [{app}], privateIp: {app_address}}}
  web: {{instanceType: t3.micro, subnet: {subnet}, securityGroups: [{web}], privateIp: {web_address}, publicIp: true}}

servers:
  db-01:
    source: site
    locator: {{name: db-01}}
    schedule: twice-a-day
    image: {{conversion: register}}
    launchConfig: db
  app-01:
    source: site
    locator: {{name: app-01}}
    schedule: twice-a-day
    image: {{conversion: register}}
    launchConfig: app
  web-01:
    source: site
    locator: {{name: web-01}}
    schedule: twice-a-day
    image: {{conversion: register}}
    launchConfig: web

applications:
  shop:
    phase: replicate
    groups:
      database: {{servers: [db-01]}}
      application: {{servers: [app-01], after: [database]}}
      web: {{servers: [web-01], after: [application]}}
    cutover: {{power: "off", shutdown: 60s}}
    validation:
      database:
        ssm: {{command: "echo PING | nc -w 5 127.0.0.1 {db_port} | grep PONG", timeout: 120}}
      application:
        ssm: {{command: "wget -q -O - http://127.0.0.1:{app_port}/cgi-bin/healthz | grep PONG", timeout: 120}}
      web:
        http: {{path: /cgi-bin/healthz, port: {web_port}, address: public, body: PONG, timeout: 120, interval: 2}}
"""
_PLAIN = f"        http: {{path: /cgi-bin/healthz, port: {WEB.port}, address: public, body: PONG, timeout: 120, interval: 2}}\n"
#: Release 2.4 is believed to be on the web server by the day of the cutover.
_RELEASE = f"""\
{_PLAIN}        checks:
          release: {{http: {{path: /version, port: {WEB.port}, address: public, body: "shop 2.4", attempts: 3, interval: 1}}}}
"""


class Unproved(SystemExit):
    """The demo did not show what it is there to show."""


class ShopDemo(Demo):
    result_file = "shop.json"

    def __init__(self, keep: bool) -> None:
        super().__init__(keep, DemoProject(ROOT, FOLDER, console))
        self.source = ShopSource(FOLDER / "shop")
        self.orders = 1  # the database's own first one
        self.result = {
            "proved": False,
            "phases": [],
            "launch_order": {},
            "validations": [],
            "failed_cutover": None,
            "rolled_back": None,
            "outage_seconds": None,
            "orders": {},
            "ejected": [],
            "leftovers": None,
            "seconds": {},
        }

    def play(self) -> None:
        with self.act(1, "three servers at their source, which ask each other"):
            self.start_source()
        with self.act(2, "the spec, and what Pulumi would do"):
            self.start_project()
        with self.act(3, "phase replicate: they are copied while they run"):
            self.up("replicate")
        with self.act(4, "phase test: instances beside the running source"):
            self.edit({"phase: replicate": "phase: test"})
            self.up("test")
            self.compare("test", self.migrated())
        with self.act(5, "phase cutover, with a check that what was copied cannot pass"):
            self.order(self.source.url)
            self.edit({"phase: test": "phase: cutover", _PLAIN: _RELEASE})
            self.fail()
        with self.act(6, "the way back: the change reverted, and the source serves again"):
            self.edit({"phase: cutover": "phase: test", _RELEASE: _PLAIN})
            self.up("test", "test again")
            self.back()
        with self.act(7, "phase cutover again, once release 2.4 is there"):
            self.source.run("web-01", f"echo 'shop 2.4' >{VERSION_PATH} && sync")
            self.order(self.source.url)
            self.edit({"phase: test": "phase: cutover", _PLAIN: _RELEASE})
            self.up("cutover")
            self.cut_over()
        with self.act(8, "phase complete: the jobs end, what is superseded goes"):
            self.edit({"phase: cutover": "phase: complete"})
            self.up("complete")
            self.compare("complete", self.migrated())
        with self.act(9, "handed over: what runs, for Pulumi and Terraform"):
            self.eject()
            self.leftovers()
        self.result["proved"] = True

    def start_source(self) -> None:
        self.source.start(CACHE, lambda line: console.print(f"  {line}"))
        self.until("the source's shop", lambda: "PONG" in _get(f"{self.source.url}/cgi-bin/healthz"))
        self.order(self.source.url)

    def start_project(self) -> None:
        self.project.start()
        self.project.spec.write_text(_SPEC.format(**self.network()))
        console.print(Syntax(self.project.spec.read_text(), "yaml", background_color="default"))
        self.project.rehost("validate", str(self.project.specs))
        self.preview()

    def network(self) -> dict[str, Any]:
        """Subnet and security groups, as the landing zone has them; each tier lets in the one before it alone."""
        ec2 = boto3.client("ec2", endpoint_url=self.project.endpoint, **self.project.credentials)
        vpc = ec2.create_vpc(CidrBlock="10.80.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=str(SHOP_NETWORK))["Subnet"]["SubnetId"]
        values: dict[str, Any] = {"subnet": subnet}
        before: dict[str, Any] = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        for name, tier in reversed(list(SHOP.items())):
            short = name.partition("-")[0]
            group = ec2.create_security_group(GroupName=f"shop-{short}", Description=name, VpcId=vpc)["GroupId"]
            rule = {"IpProtocol": "tcp", "FromPort": tier.port, "ToPort": tier.port, **before}
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
            before = {"UserIdGroupPairs": [{"GroupId": group}]}
            values |= {short: group, f"{short}_address": tier.address, f"{short}_port": tier.port}
        return values

    def edit(self, changes: dict[str, str]) -> None:
        self.project.edit_spec(changes)
        self.preview()

    def preview(self) -> None:
        """`pulumi preview --diff`, without what does not change."""
        console.print("[dim]$ pulumi preview --diff[/]  (shortened)")
        code, text = self.project.capture(["pulumi", "preview", "--diff", "--color", "never"])
        if code:
            console.print(text, markup=False)
            raise Unproved("the preview failed")
        for line in shortened(text):
            console.print(line, markup=False, soft_wrap=True, style="green" if line.lstrip().startswith("+") else "")

    def up(self, phase: str, name: str | None = None) -> None:
        started = time.monotonic()
        self.project.pulumi("up", "--yes", "--skip-preview")
        seconds = time.monotonic() - started
        self.project.rehost("status")
        if phase == "cutover":
            self.project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", quiet=True)
        if self.note(name or phase, seconds)["reached"] != phase:
            raise Unproved(f"{APPLICATION} did not reach {phase}")

    def note(self, name: str, seconds: float) -> Any:
        """Write down where the application stands, what was launched in which order, and what was checked; where it stands."""
        status = self.project.rehost_json("status", "--json")
        application = self.application(status)
        self.result["phases"].append(
            {
                "phase": name,
                "entered": application["phase"],
                "reached": application["reached"],
                "seconds": round(seconds, 1),
            }
        )
        self.result["outage_seconds"] = application["outage_seconds"]
        launched = {server: moment for server, moment in self.launched().items() if server in SHOP}
        if launched:
            order = sorted(launched, key=lambda server: launched[server])
            self.result["launch_order"][name] = order
            if order != list(SHOP)[: len(order)]:
                raise Unproved(f"they were launched in the order {order}")
        for each in status["validations"]:
            found = {
                key: each[key] for key in ("group", "check", "server", "instance_id", "state", "attempts", "message")
            }
            if launched and found not in (known["result"] for known in self.result["validations"]):
                self.result["validations"].append({"phase": name, "result": found})
        return application

    def application(self, status: Any = None) -> Any:
        found = status or self.project.rehost_json("status", "--json")
        return next(each for each in found["applications"] if each["name"] == APPLICATION)

    def launched(self) -> dict[str, Any]:
        """By server, when the first check of its group began, or it was launched: EC2's moments are whole seconds."""
        ec2 = boto3.client("ec2", endpoint_url=self.project.endpoint, **self.project.credentials)
        found = {}
        for reservation in ec2.describe_instances()["Reservations"]:
            for instance in reservation["Instances"]:
                if instance["State"]["Name"] == "running":
                    name = next(tag["Value"] for tag in instance["Tags"] if tag["Key"] == "Name")
                    found[name] = instance["LaunchTime"]
        return found

    def fail(self) -> None:
        started = time.monotonic()
        console.print("[dim]$ pulumi up --yes --skip-preview[/]")
        code, _ = self.project.capture(["pulumi", "up", "--yes", "--skip-preview", "--color", "never"], show=True)
        if code == 0:
            raise Unproved("the cutover should have failed")
        self.note("cutover failed", time.monotonic() - started)
        failed = [each["result"] for each in self.result["validations"] if each["result"]["state"] == "FAILED"]
        if not any(each["check"] == "release" for each in failed):
            raise Unproved("the check of the release should have failed")
        states = self.source.states()
        self.result["failed_cutover"] = {"exit_code": code, "sources": states, "checks": failed}
        if set(states.values()) != {"shutdown"}:
            raise Unproved(f"the sources should be off: {states}")

    def back(self) -> None:
        self.until("the source's shop", lambda: "PONG" in _get(f"{self.source.url}/cgi-bin/healthz"))
        self.result["rolled_back"] = {"sources": self.source.states()}
        if set(self.source.states().values()) != {"running"}:
            raise Unproved("the sources should run")
        self.compare("source after the way back", self.source.url)
        self.order(self.source.url)

    def cut_over(self) -> None:
        url = self.migrated()
        self.compare("cutover", url)
        if "2.4" not in _get(f"{url}/version"):
            raise Unproved("the release is not 2.4")
        self.order(url)
        states = self.source.states()
        self.result["sources_after_cutover"] = states
        if set(states.values()) != {"shutdown"}:
            raise Unproved(f"the sources should be off: {states}")

    def migrated(self) -> str:
        outputs = self.project.pulumi_json("stack", "output", "--json")
        return f"http://{outputs['instances']['web-01']['publicAddress']}:{WEB.port}"

    def order(self, url: str) -> None:
        """Place one, through all three tiers."""
        if "ADDED" not in _get(f"{url}/cgi-bin/order?number-{self.orders + 1}"):
            raise Unproved("an order was not taken")
        self.orders += 1
        console.print(f"placed order {self.orders} at {url}")

    def compare(self, where: str, url: str) -> None:
        text = _get(f"{url}/cgi-bin/orders")
        self.result["orders"][where] = found = int(text.rpartition(":")[2])
        console.print(f"{where}: {found} orders at {url}")
        if found != self.orders:
            raise Unproved(f"there should be {self.orders}")

    def eject(self) -> None:
        target = FOLDER / "handover"
        shutil.rmtree(target, ignore_errors=True)
        self.project.rehost("eject", APPLICATION, "--output", str(target.relative_to(ROOT)))
        self.result["ejected"] = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
        ids = [
            each["instanceId"] for each in self.project.pulumi_json("stack", "output", "--json")["instances"].values()
        ]
        text = "".join(path.read_text() for path in target.rglob("*") if path.is_file())
        if len(ids) != len(SHOP) or not all(each in text for each in ids):
            raise Unproved("an instance is missing in what was ejected")

    def leftovers(self) -> None:
        """What carries this stack's tags and is neither one of the instances nor what they are made of."""
        ec2 = boto3.client("ec2", endpoint_url=self.project.endpoint, **self.project.credentials)
        used: set[str] = set()
        for instance in (each for found in ec2.describe_instances()["Reservations"] for each in found["Instances"]):
            if instance["State"]["Name"] == "running":
                used |= {instance["InstanceId"], instance["ImageId"]}
                used |= {each["Ebs"]["VolumeId"] for each in instance["BlockDeviceMappings"]}
        images = ec2.describe_images(Owners=["self"])["Images"]
        for image in (each for each in images if each["ImageId"] in used):
            used |= {each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"]}
        left = [str(each) for each in self.project.aws().list_owned(STACK) if each.id not in used]
        left += self.source.leftovers()
        self.result["leftovers"] = len(left)
        for line in left:
            console.print(f"[red]left over:[/] {line}")
        if left:
            raise Unproved("something was left behind")
        console.print("[green]in AWS: the instances, and what they are made of; at the source: its machines, off[/]")

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            try:
                if holds():
                    console.print(f"{what} answers")
                    return
            except OSError:
                pass
            time.sleep(0.3)
        raise Unproved(f"{what} did not answer within {_SECONDS} s")

    def summary(self) -> None:
        for each in self.result["phases"]:
            console.print(f"  {each['phase']}: {each['seconds']:.0f} s")
        console.print(f"  outage of the cutover: {self.result['outage_seconds']} s")

    def close(self) -> None:
        if not self.keep:
            self.source.stop()


def shortened(text: str) -> list[str]:
    """What a reviewer reads of a preview: resources that appear, change or go, by name, and what changes of them."""
    found: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.endswith(("[unknown]", ": {")):
            continue  # what follows from the rest
        if bare.startswith("[urn=") and found and found[-1].endswith(")"):
            found[-1] += f" {bare.rstrip(']').rpartition('::')[2]}"
        elif bare.startswith(("+", "-", "~")) and "__provider" not in bare:
            found.append(line.rstrip().replace("pulumi-python:dynamic/", ""))
    return found


def _get(url: str) -> str:
    """Raises OSError, HTTPError among them."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())
