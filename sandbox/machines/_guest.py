"""What runs inside the demo's machines: busybox, from power-on to a console that says what it found."""

from __future__ import annotations

#: The file whose lines the guest prints on its console when it boots; the demo changes it between two runs.
MESSAGE_PATH = "/etc/rehost-message"

#: What the guest puts before each of those lines.
CONSOLE_PREFIX = "rehost: message: "

#: The list that the guest checks its content against; `sha256sum -c` reads it.
CHECKSUMS_PATH = "/etc/rehost-checksums"

#: The first process, out of the initramfs: brings the disk's driver up and hands over to the root file system.
INITRAMFS_INIT = """\
#!/bin/busybox sh
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
# A driver whose device this machine does not have refuses to load; that is expected.
while read -r module; do
    insmod "/modules/$module" 2>/dev/null
done </modules/order
for argument in $(cat /proc/cmdline); do
    case "$argument" in root=*) root="${argument#root=}" ;; esac
done
tries=0
until device="$(findfs "$root" 2>/dev/null)" && mount -t ext4 -o rw "$device" /root; do
    tries=$((tries + 1))
    if [ "$tries" -ge 150 ]; then
        echo "rehost: no disk with $root appeared within 15 seconds"
        cat /proc/partitions
        exec sh
    fi
    sleep 0.1
done
mount --move /dev /root/dev
umount /sys /proc
exec switch_root /root /sbin/init
"""

INITTAB = """\
::sysinit:/etc/rc
::ctrlaltdel:/bin/busybox reboot
::shutdown:/bin/busybox umount -a -r
ttyS0::askfirst:/bin/busybox sh -l
"""

# `@DATA@` is the label of a second disk to mount, or empty.
_RC = """\
#!/bin/busybox sh
export PATH=/run/bin:/bin
/bin/busybox mount -t tmpfs run /run
/bin/busybox mkdir -p /run/bin
/bin/busybox --install -s /run/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
hostname -F /etc/hostname
root="$(sed -n 's|^\\([^ ]*\\) / ext4 .*|\\1|p' /proc/mounts | tail -n 1)"
echo
echo "rehost: $(hostname) is up: Linux $(uname -r), root on $root"
while read -r line; do
    echo "rehost: message: $line"
done </etc/rehost-message
data="@DATA@"
if [ -n "$data" ] && device="$(findfs "LABEL=$data" 2>/dev/null)" && mount -t ext4 "$device" /data; then
    echo "rehost: data: $device mounted, $(find /data -type f | wc -l) files"
fi
if (cd / && sha256sum -s -c /etc/rehost-checksums); then
    echo "rehost: content: all $(wc -l </etc/rehost-checksums) files of the list are as recorded"
else
    echo "rehost: content: DAMAGED"
fi
# A machine without a network is quite alright here.
ip link set lo up
for card in /sys/class/net/e*; do
    [ -e "$card" ] || continue
    ip link set "${card##*/}" up
    udhcpc -q -n -t 5 -i "${card##*/}" -s /etc/udhcpc.sh >/dev/null 2>&1 &&
        echo "rehost: network: $(ip -4 -o addr show "${card##*/}" | sed 's/.*inet \\([^ ]*\\).*/\\1/')"
done
httpd -p 80 -h /srv/www
[ ! -f /etc/rehost-service ] || sh /etc/rehost-service &
[ ! -f /etc/rehost-live ] || sh /etc/rehost-live &
# A live machine has an agent of its own on the same port.
[ -f /etc/rehost-live ] || [ ! -f /etc/rehost-agent ] || sh /etc/rehost-agent &
echo "rehost: ready"
"""

#: Where a machine has `agent.sh`.
AGENT_PATH = "/etc/rehost-agent"

#: Where a server of an application has the script that is its service.
SERVICE_PATH = "/etc/rehost-service"

#: Where a live machine has `live.sh`.
LIVE_PATH = "/etc/rehost-live"

UDHCPC = """\
#!/bin/busybox sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev "$interface"
ip addr add "$ip/${mask:-24}" dev "$interface"
[ -z "$router" ] || ip route replace default via "${router%% *}"
[ -z "$dns" ] || for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
"""


def rc(data_label: str | None) -> str:
    """The script that busybox's init runs once the root file system is there."""
    return _RC.replace("@DATA@", data_label or "")


def syslinux_config(root_uuid: str) -> str:
    """The boot loader's configuration: no menu, no waiting, the console on the first serial port.

    `no_timer_check`: under an emulator on a busy host, the kernel's test of the timer may fail, and it panics then.
    """
    return (
        "SERIAL 0 115200\n"
        "PROMPT 0\n"
        "TIMEOUT 0\n"
        "DEFAULT linux\n"
        "LABEL linux\n"
        "  KERNEL vmlinuz\n"
        "  INITRD initrd.img\n"
        f"  APPEND root=UUID={root_uuid} console=tty0 console=ttyS0,115200 net.ifnames=0 no_timer_check quiet\n"
    )
