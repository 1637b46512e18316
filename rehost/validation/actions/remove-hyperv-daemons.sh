#!/bin/sh
# Removes the daemons of Hyper-V's integration services, from packages; the kernel's drivers stay, and find no Hyper-V. Where there are none, it has nothing to do.
set -u
packages=""
if command -v dpkg-query >/dev/null; then
    dpkg-query -W -f '${Status}\n' hyperv-daemons 2>/dev/null | grep -q '^install ok installed' && packages=" hyperv-daemons"
    # shellcheck disable=SC2086
    [ -z "$packages" ] || DEBIAN_FRONTEND=noninteractive apt-get -y purge $packages || exit 1
elif command -v rpm >/dev/null; then
    for package in hyperv-daemons hypervkvpd hypervvssd hypervfcopyd hyper-v; do
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
# Ubuntu's kernel packages need those that the daemons come with: there they are only kept from starting.
if command -v systemctl >/dev/null; then
    for daemon in hv-kvp-daemon hv-vss-daemon hv-fcopy-daemon; do
        systemctl is-enabled --quiet "$daemon.service" 2>/dev/null || continue
        systemctl disable --now "$daemon.service" || exit 1
        packages="$packages $daemon"
    done
fi
echo "removed:${packages:- nothing}"
