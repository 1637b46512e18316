#!/bin/sh
# Removes VMware's tools, from packages or from VMware's own installer. Where there are none, it has nothing to do.
set -u
if [ -x /usr/bin/vmware-uninstall-tools.pl ]; then
    /usr/bin/vmware-uninstall-tools.pl || exit 1
fi
packages=""
if command -v dpkg-query >/dev/null; then
    for package in open-vm-tools open-vm-tools-desktop; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' && packages="$packages $package"
    done
    # shellcheck disable=SC2086
    [ -z "$packages" ] || DEBIAN_FRONTEND=noninteractive apt-get -y purge $packages || exit 1
elif command -v rpm >/dev/null; then
    for package in open-vm-tools open-vm-tools-desktop; do
        rpm -q "$package" >/dev/null 2>&1 && packages="$packages $package"
    done
    if [ -n "$packages" ]; then
        for tool in dnf yum zypper; do
            command -v "$tool" >/dev/null || continue
            # shellcheck disable=SC2086
            if [ "$tool" = zypper ]; then zypper -n remove $packages; else "$tool" -y remove $packages; fi || exit 1
            break
        done
    fi
fi
echo "removed:${packages:- nothing}"
