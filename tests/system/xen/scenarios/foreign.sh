# SPDX-License-Identifier: MIT
# Sourced in dom0: a guest that does not grant its memory (grant_usage=0), under a policy that lets gpudom
# map it. The same pictures as with grants.
. /share/pictures.sh

no_avc() { ! avc; }
same_as_before() { counts /share/out/counts-after && same_counts /share/out/counts-before /share/out/counts-after; }
foreign_guest() {
	rm -f /share/out/guest-guest.log
	start -p guest memory=256 'virtio=["type=virtio,device10,transport=mmio,backend=gpudom,grant_usage=0"]'
	check "its GPU is served" /share/gpudom-unpause guest 90
	check "it boots" wait_until 120 booted guest
}
handles() {
	run_in gpudom 20 'ls -l /proc/$(pgrep -n -x gpudom-worker)/fd | sed -n "s/.* \(\/dev\/xen\/.*\)/\1/p" | sort | uniq -c'
	say "  the worker's handles on Xen: $(tr -s ' \n' ' ' </tmp/gpudom.out)"
	grep -q privcmd /tmp/gpudom.out && ! grep -q gntdev /tmp/gpudom.out
}

prepare
start gpudom && wait_until 120 booted gpudom || return
run_in gpudom 60 "/share/gpudom-start test.conf"
foreign_guest
xl destroy guest
counts /share/out/counts-before
foreign_guest
check_all_pictures
check "its worker has privcmd, and no gntdev" handles
xl destroy guest 2>/tmp/destroy.log
check "xl destroy goes without an error" [ ! -s /tmp/destroy.log ]
check "nothing is left over" same_as_before
check "FLASK has refused nothing" no_avc
gpudom_log
