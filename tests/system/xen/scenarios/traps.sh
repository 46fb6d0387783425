# SPDX-License-Identifier: MIT
# Sourced in dom0: where the platform is set up wrongly, gpudomd must say what is wrong and what to do,
# and so must gpudomctl doctor.
# $traps: which of the cases below.

says() { gpudom_log && grep -q -- "$1" /share/out/gpudomd.log; }

# diagnosed CHECK SENTENCE: the doctor's check has failed, and it says this of it.
diagnosed() {
	grep -A 3 "\"check\":\"$1\"" /tmp/gpudom.out | grep -A 2 '"state":"failed"' | grep -q -- "$2"
}

# trap_case NAME SENTENCE COMMAND GPUDOM_SETTING GUEST_SETTING CHECK: with settings in the domains' xl
# configurations, and a command run in the driver domain first; the doctor's CHECK fails.
trap_case() {
	start gpudom "$4" && wait_until 60 booted gpudom && run_in gpudom 60 "$3" &&
		run_in gpudom 60 '/share/gpudom-start test.conf' && start -p guest "$5" || {
		not_ok "$1: cannot set the case up"
		return
	}
	xenstore-chmod "/local/domain/$(domid guest)/name" n0 "r$(domid guest)" "r$(domid gpudom)"
	check "$1: gpudomd says what to do" wait_until 30 says "$2"
	cp /share/out/gpudomd.log "/share/out/gpudomd-$1.log"
	say "  $(grep -- "$2" /share/out/gpudomd.log | head -n 1)"
	status=0
	run_in gpudom 120 '/share/bin/gpudomctl doctor --json --config=/share/doctor.conf' || status=$?
	cp /tmp/gpudom.out "/share/out/doctor-$1.log"
	check "$1: gpudomctl doctor says so, too" diagnosed "$6" "$2"
	check "$1: its status is 2" [ $status = 2 ]
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
		trap_case "$t" 'boot Xen with xsm=flask flask=enforcing' true 'seclabel=""' 'seclabel=""' policy
		;;
	unlabelled)
		# What Xen's own policy gives to a domain without a label.
		label='seclabel="system_u:system_r:domU_t"'
		trap_case "$t" 'load the policy of configs/flask' true "$label" "$label" guests
		;;
	locked)
		trap_case "$t" 'xen_privcmd.unrestricted=1' true "$locked" "$nothing_guest" privcmd
		;;
	no-ioreq)
		trap_case "$t" 'build Xen with CONFIG_EXPERT and CONFIG_IOREQ_SERVER' true \
			'seclabel=""' 'seclabel=""' ioreq-server
		;;
	no-gntdev)
		trap_case "$t" CONFIG_XEN_GNTDEV 'rm /dev/xen/gntdev' "$nothing" "$nothing_guest" grants
		;;
	no-xenstore)
		# After its domain has used it to say that it is up.
		trap_case "$t" 'xenstore is out of reach' 'rm /dev/xen/xenbus && umount /proc/xen' \
			"$nothing" "$nothing_guest" xenstore
		;;
	esac
done
