"""Three servers of one application, which ask each other: the web server the application server, and that the database.

Each finds the next at its private address, as configured on the servers themselves; so they work wherever these addresses are kept.
An order that is placed stands on the database's disk before it is acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from sandbox.machines._boot import gather
from sandbox.machines._build import MIB, Disk, Machine, _system_disk
from sandbox.machines._guest import SERVICE_PATH
from sandbox.machines._packages import Packages

SHOP_NETWORK = IPv4Network("10.80.0.0/24")
#: The release that the web server tells of at `/version`.
VERSION_PATH = "/srv/www/version"
_SIZE = 128 * MIB

_COMMON = """\
export PATH=/run/bin:/bin
mkdir -p /run/www/cgi-bin
# The power button, as a virtual machine's platform presses it.
for event in /sys/class/input/event*; do
    [ "$(cat "$event/device/name")" = "Power Button" ] || continue
    { dd bs=24 count=1 status=none if="/dev/input/${event##*/}" of=/dev/null && poweroff; } &
done
"""

_DATABASE = """\
cat >/run/serve <<'END'
#!/bin/busybox sh
export PATH=/run/bin:/bin
read -r command order
case "$command" in
PING) echo PONG ;;
COUNT) grep -c . /var/orders ;;
ADD) echo "$order" >>/var/orders && sync && echo ADDED ;;
esac
END
chmod +x /run/serve
mkdir -p /var
[ -f /var/orders ] || echo first >/var/orders
echo "rehost: shop: the database has $(grep -c . /var/orders) orders"
exec nc -ll -p @DB_PORT@ -e /run/serve
"""

_APPLICATION = """\
answer() {
    cat >"/run/www/cgi-bin/$1" <<END
#!/bin/busybox sh
export PATH=/run/bin:/bin
answer="\\$(echo "$2" | timeout 10 nc -w 5 @DB@ @DB_PORT@)"
if [ -n "\\$answer" ]; then echo "Status: 200 OK"; else echo "Status: 503 Service Unavailable"; answer="no answer from the database"; fi
printf 'Content-Type: text/plain\\n\\n%s: %s\\n' "$3" "\\$answer"
END
    chmod +x "/run/www/cgi-bin/$1"
}
answer healthz PING database
answer orders COUNT orders
answer order 'ADD \\$QUERY_STRING' order
httpd -p @APP_PORT@ -h /run/www
"""

_WEB = """\
for page in healthz orders order; do
    cat >"/run/www/cgi-bin/$page" <<END
#!/bin/busybox sh
export PATH=/run/bin:/bin
if answer="\\$(timeout 20 wget -q -O - "http://@APP@:@APP_PORT@/cgi-bin/$page?\\$QUERY_STRING")"; then
    echo "Status: 200 OK"
else
    echo "Status: 503 Service Unavailable"
    answer="no answer from the application"
fi
printf 'Content-Type: text/plain\\n\\n%s\\n' "\\$answer"
END
    chmod +x "/run/www/cgi-bin/$page"
done
ln -s @VERSION@ /run/www/version
httpd -p @WEB_PORT@ -h /run/www
"""


@dataclass(frozen=True)
class Tier:
    address: str
    port: int
    service: str  # what it runs


#: In launch order.
SHOP: Mapping[str, Tier] = {
    "db-01": Tier("10.80.0.11", 15432, _DATABASE),
    "app-01": Tier("10.80.0.12", 18081, _APPLICATION),
    "web-01": Tier("10.80.0.13", 18080, _WEB),
}


def build_shop(folder: Path, *, cache: Path, on_progress: Callable[[str], None] = lambda _: None) -> list[Machine]:
    """Make `NAME.raw` for each server in `folder`. Raises MachineError where they could not boot; a retry is safe."""
    folder.mkdir(parents=True, exist_ok=True)
    boot = gather(Packages(cache / "debian-packages", on_progress))
    found = []
    for name, tier in SHOP.items():
        on_progress(f"making {name}: {_SIZE // MIB} MiB, {tier.address}, port {tier.port}")
        files = {SERVICE_PATH: (_COMMON + _filled(tier.service)).encode()}
        if name == "web-01":
            files[VERSION_PATH] = b"shop 2.3\n"
        disk: Disk = _system_disk(folder / f"{name}.raw", name, _SIZE, boot, files)
        found.append(Machine(name, [disk]))
    return found


def _filled(text: str) -> str:
    values = {"VERSION": VERSION_PATH}
    for name, tier in SHOP.items():
        short = name.split("-")[0].upper()
        values |= {short: tier.address, f"{short}_PORT": str(tier.port)}
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
