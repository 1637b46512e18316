#!/bin/sh
# Removes Azure's agent, from packages, and puts aside what lets cloud-init look for Azure alone. Where there is none of it, it has nothing to do.
set -u
packages=""
if command -v dpkg-query >/dev/null; then
    for package in walinuxagent waagent; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' && packages="$packages $package"
    done
    # shellcheck disable=SC2086
    [ -z "$packages" ] || DEBIAN_FRONTEND=noninteractive apt-get -y purge $packages || exit 1
elif command -v rpm >/dev/null; then
    for package in WALinuxAgent python-azure-agent python3-azure-agent; do
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
# With a list of this one data source, cloud-init finds none on EC2. Without the list it looks for all it knows.
backup=/var/backups/rehost-azure
for file in /etc/cloud/cloud.cfg.d/*.cfg; do
    [ -f "$file" ] || continue
    grep -Eq '^datasource_list: *\[ *Azure *(, *None *)?\]' "$file" || continue
    mkdir -p "$backup" && mv "$file" "$backup/" || exit 1
    packages="$packages $(basename "$file")"
done
echo "removed:${packages:- nothing}"
