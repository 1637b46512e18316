#!/bin/sh
# Installs the SSM agent from AWS's own bucket of the instance's region, starts it, and leaves one that is there alone.
set -u
for unit in amazon-ssm-agent snap.amazon-ssm-agent.amazon-ssm-agent; do
    if systemctl cat "$unit" >/dev/null 2>&1; then
        systemctl enable --now "$unit"
        exit 0
    fi
done
token=$(curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' http://169.254.169.254/latest/api/token)
region=$(curl -sf -m 5 -H "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/placement/region)
[ -n "$region" ] || { echo "the region cannot be had from the metadata service" >&2; exit 1; }
case $(uname -m) in aarch64) machine=arm64 ;; *) machine=amd64 ;; esac
bucket="https://s3.$region.amazonaws.com/amazon-ssm-$region/latest"
cd /tmp || exit 1
if command -v dpkg >/dev/null; then
    curl -sf -o amazon-ssm-agent.deb "$bucket/debian_$machine/amazon-ssm-agent.deb" && dpkg -i amazon-ssm-agent.deb
elif command -v rpm >/dev/null; then
    curl -sf -o amazon-ssm-agent.rpm "$bucket/linux_$machine/amazon-ssm-agent.rpm" && rpm -U --replacepkgs amazon-ssm-agent.rpm
else
    echo "neither dpkg nor rpm is there" >&2
    exit 1
fi || exit 1
systemctl enable --now amazon-ssm-agent
