#!/bin/sh
# Makes every network card ask for its address, with whichever of the usual configurations the guest has. What was there is
# kept in /var/backups/rehost-network. It holds from the next restart of the network, or of the guest, on.
set -u
backup=/var/backups/rehost-network
mkdir -p "$backup"

keep() {
    for file in "$@"; do
        [ -f "$file" ] || continue
        mkdir -p "$backup$(dirname "$file")"
        [ -f "$backup$file" ] || cp -p "$file" "$backup$file"
    done
}

if [ -d /etc/netplan ] && command -v netplan >/dev/null; then
    keep /etc/netplan/*.yaml /etc/netplan/*.yml
    rm -f /etc/netplan/*.yaml /etc/netplan/*.yml
    cat >/etc/netplan/50-rehost.yaml <<'END'
network:
  version: 2
  ethernets:
    all:
      match: {name: "e*"}
      dhcp4: true
      dhcp6: true
      optional: true
END
    chmod 600 /etc/netplan/50-rehost.yaml
    netplan generate || exit 1
    echo "netplan: every card by DHCP"
elif command -v nmcli >/dev/null && systemctl -q is-active NetworkManager; then
    nmcli -g UUID,TYPE connection show | while IFS=: read -r uuid type; do
        [ "$type" = 802-3-ethernet ] || continue
        nmcli connection modify "$uuid" ipv4.method auto ipv4.addresses "" ipv4.gateway "" ipv4.dns "" \
            connection.interface-name "" 802-3-ethernet.mac-address "" || exit 1
    done || exit 1
    echo "NetworkManager: every connection by DHCP"
elif [ -d /etc/sysconfig/network-scripts ]; then
    keep /etc/sysconfig/network-scripts/ifcfg-*
    for file in /etc/sysconfig/network-scripts/ifcfg-*; do
        [ -f "$file" ] && [ "${file##*-}" != lo ] || continue
        sed -i -e '/^\(BOOTPROTO\|IPADDR\|NETMASK\|PREFIX\|GATEWAY\|DNS\|HWADDR\|UUID\)[0-9]*=/d' "$file" || exit 1
        echo BOOTPROTO=dhcp >>"$file"
    done
    echo "network-scripts: every card by DHCP"
elif [ -f /etc/network/interfaces ]; then
    keep /etc/network/interfaces
    cards=$(ls /sys/class/net | grep '^e')
    {
        printf 'auto lo\niface lo inet loopback\n'
        for card in $cards; do printf '\nallow-hotplug %s\niface %s inet dhcp\n' "$card" "$card"; done
    } >/etc/network/interfaces || exit 1
    echo "ifupdown: by DHCP:" $cards
elif [ -d /etc/systemd/network ] && systemctl -q is-active systemd-networkd; then
    keep /etc/systemd/network/*.network
    rm -f /etc/systemd/network/*.network
    printf '[Match]\nName=e*\n\n[Network]\nDHCP=yes\n' >/etc/systemd/network/50-rehost.network
    echo "systemd-networkd: every card by DHCP"
else
    echo "no network configuration that is known here was found" >&2
    exit 1
fi
# Names of cards that were tied to the MAC addresses of the source.
keep /etc/udev/rules.d/70-persistent-net.rules
rm -f /etc/udev/rules.d/70-persistent-net.rules
