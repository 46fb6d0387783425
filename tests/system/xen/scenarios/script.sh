# SPDX-License-Identifier: MIT
# Sourced in dom0: the real Xen answers tests/xen/xen_script.c as the fake one of `make check` does.

prepare
start gpudom && wait_until 60 booted gpudom || return
start -p guest || return
run_in gpudom 30 "cd /run; /share/bin/xen_script $(domid guest) script >script.out 2>&1 & until [ -e /run/script.die ]; do sleep 0.1; done" || return
# libxl would wait 10 s for a backend that never was.
xenstore-rm "/libxl/$(domid guest)/device/virtio"
xl destroy guest
run_in gpudom 30 'touch /run/script.dead; wait; cat /run/script.out'
cp /tmp/gpudom.out /share/out/xen_script.out
check "Xen has answered the script of calls" grep -q '^the guest dies' /tmp/gpudom.out
check "Xen and the fake answer alike" same /share/bin/xen_script.expected /tmp/gpudom.out
awk 'NR == FNR { fake[FNR] = $0; next }
	fake[FNR] != $0 { print "@ line " FNR ": fake \"" fake[FNR] "\", Xen \"" $0 "\"" }' \
	/share/bin/xen_script.expected /tmp/gpudom.out
check "nothing is left of the guest" sh -c '! xl list | grep -E "guest|null"'
