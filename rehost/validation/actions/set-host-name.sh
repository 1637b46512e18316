#!/bin/sh
# Gives the guest the name in REHOST_NAME. No restart is needed.
set -u
if command -v hostnamectl >/dev/null; then
    hostnamectl set-hostname "$REHOST_NAME" || exit 1
else
    echo "$REHOST_NAME" >/etc/hostname && hostname "$REHOST_NAME" || exit 1
fi
# cloud-init would set its own name at the next boot.
if [ -d /etc/cloud/cloud.cfg.d ]; then
    echo "preserve_hostname: true" >/etc/cloud/cloud.cfg.d/50-rehost-host-name.cfg || exit 1
fi
echo "the name is $(hostname)"
