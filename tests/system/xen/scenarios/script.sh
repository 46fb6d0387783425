# SPDX-License-Identifier: MIT
# Sourced in dom0: the real Xen answers tests/xen/xen_script.c as the fake one of `make check` does.
prepare
start gpudom && wait_until 60 booted gpudom || return
start -p guest || return
run_in gpudom 30 "/share/bin/xen_script $(domid guest) >/run/script 2>&1; cat /run/script"
cp /tmp/gpudom.out /share/out/xen_script.out
check "Xen answers the script of calls" grep -q '^open device model: ok' /tmp/gpudom.out
check "Xen and the fake answer alike" cmp -s /share/bin/xen_script.expected /tmp/gpudom.out
grep -vxFf /tmp/gpudom.out /share/bin/xen_script.expected | while read -r l; do say "  fake: $l"; done
grep -vxFf /share/bin/xen_script.expected /tmp/gpudom.out | while read -r l; do say "  Xen:  $l"; done
xl destroy gpudom
# libxl would wait 10 s for a backend that never was.
xenstore-rm "/libxl/$(domid guest)/device/virtio"
xl destroy guest
