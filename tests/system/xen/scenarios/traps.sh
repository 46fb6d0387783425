# SPDX-License-Identifier: MIT
# Sourced in dom0: where the platform is set up wrongly, gpudomd must say what is wrong and what to do.
# $traps: which of the cases below.

says() { gpudom_log && grep -q -- "$1" /share/out/gpudomd.log; }

# trap_case NAME SENTENCE COMMAND GPUDOM_SETTING GUEST_SETTING: with settings in the domains' xl
# configurations, and a command run in the driver domain first.
trap_case() {
	start gpudom "$4" && wait_until 60 booted gpudom && run_in gpudom 10 "$3" &&
		run_in gpudom 10 '/share/gpudom-start test.conf' && start -p guest "$5" || {
		not_ok "$1: cannot set the case up"
		return
	}
	xenstore-chmod "/local/domain/$(domid guest)/name" n0 "r$(domid guest)" "r$(domid gpudom)"
	check "$1: gpudomd says what to do" wait_until 30 says "$2"
	cp /share/out/gpudomd.log "/share/out/gpudomd-$1.log"
	say "  $(grep -- "$2" /share/out/gpudomd.log | head -n 1)"
	xl destroy gpudom
	# libxl would wait 10 s for a backend that never was.
	xenstore-rm "/libxl/$(domid guest)/device/virtio"
	xl destroy guest
}

nothing='name="gpudom"' nothing_guest='name="guest"'
locked=$(sed -n 's/ xen_privcmd.unrestricted=1//; s/^\(extra = .*\)/\1/p' /share/gpudom.cfg | tail -n 1)

prepare
for t in $traps; do
	case $t in
	silo | dummy)
		# xl refuses labels where there is no FLASK.
		trap_case "$t" 'boot Xen with xsm=flask flask=enforcing' true 'seclabel=""' 'seclabel=""'
		;;
	unlabelled)
		# What Xen's own policy gives to a domain without a label.
		label='seclabel="system_u:system_r:domU_t"'
		trap_case "$t" 'load the policy of configs/flask' true "$label" "$label"
		;;
	locked)
		trap_case "$t" 'xen_privcmd.unrestricted=1' true "$locked" "$nothing_guest"
		;;
	no-ioreq)
		trap_case "$t" 'build Xen with CONFIG_EXPERT and CONFIG_IOREQ_SERVER' true \
			'seclabel=""' 'seclabel=""'
		;;
	no-gntdev)
		trap_case "$t" CONFIG_XEN_GNTDEV 'rm /dev/xen/gntdev' "$nothing" "$nothing_guest"
		;;
	no-xenstore)
		# After its domain has used it to say that it is up.
		trap_case "$t" 'xenstore is out of reach' 'rm /dev/xen/xenbus && umount /proc/xen' \
			"$nothing" "$nothing_guest"
		;;
	esac
done
