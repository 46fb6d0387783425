# SPDX-License-Identifier: MIT
# Sourced in dom0: $cycles guests come and go, ended at any moment of their lives; a guest reboots, by xl
# and from inside. gpudomd goes on, and nothing is left over.
cycles=${cycles:-50}

no_avc() { ! avc; }
another() { d=$(domid guest) && [ "$d" != "$1" ]; }
same_as_before() {
	counts "/share/out/counts-$1"
	same_counts /share/out/counts-before "/share/out/counts-$1"
}
# one_cycle I: where in its life the guest ends depends on I.
one_cycle() {
	start -p guest memory=128 >/dev/null || return
	case $(($1 % 5)) in
	0) ;; # perhaps before gpudomd has seen it
	1) wait_until 60 served guest || return ;;
	2)
		# In the first seconds of its boot: in the driver's probe, or about it.
		/share/gpudom-unpause guest 60 || return
		sleep $(($1 * 37 % 20 / 10)).$(($1 * 37 % 10))
		;;
	3)
		/share/gpudom-unpause guest 60 && wait_until 60 booted guest || return
		;;
	4)
		/share/gpudom-unpause guest 60 && wait_until 60 booted guest || return
		type_to guest '/share/bin/flips 808080 </dev/null'
		sleep $(($1 * 37 % 20 / 10)).$(($1 * 37 % 10))
		;;
	esac
	xl destroy guest 2>/tmp/destroy.log && [ ! -s /tmp/destroy.log ]
}

prepare
start gpudom && wait_until 120 booted gpudom || return
run_in gpudom 60 "/share/gpudom-start soft.conf"
one_cycle 4
counts /share/out/counts-before
while read -r line; do say "  $line"; done </share/out/counts-before

i=0 bad=0 begun=$(up)
while [ $i -lt "$cycles" ]; do
	i=$((i + 1))
	one_cycle $i || {
		say "  cycle $i: $(cat /tmp/destroy.log)"
		bad=$((bad + 1))
		xl destroy guest 2>/dev/null
	}
done
check "$cycles guests came and went, at any moment of their lives (in $(since "$begun") s)" [ $bad = 0 ]
check "nothing is left of them" same_as_before cycles

# The settings are the same for all guests, so gpudomd need not know a new domain's name: it
# claims the range before the guest gets to it, and the guest's first access waits for the worker.
t0=$(up)
xl create -q /share/guest.cfg 'on_reboot="restart"' memory=128
check "a guest boots without having been started paused" wait_until 60 booted guest
for how in 'xl reboot guest' 'type_to guest "busybox reboot -f"'; do
	d=$(domid guest)
	eval "$how" >/dev/null
	check "after '$how' there is a new domain" wait_until 60 another "$d"
	check "it boots, with its GPU" wait_until 90 booted guest
done
: >/share/out/guest-guest.log
type_to guest '/share/bin/flips 808080 </dev/null'
check "it draws" wait_until 60 logged guest 'guest: frame 10'
xl pause guest
xl unpause guest
f=$(grep -c 'guest: frame' /share/out/guest-guest.log)
more_frames() { [ "$(grep -c 'guest: frame' /share/out/guest-guest.log)" -gt $((f + 2)) ]; }
check "after xl pause and xl unpause it goes on" wait_until 60 more_frames
xl destroy guest
check "nothing is left of it" same_as_before reboot

# With settings by name, somebody has to let gpudomd read the name of a domain that xl starts by itself.
run_in gpudom 60 'pkill -x gpudomd; while pgrep gpudom; do sleep 0.2; done'
run_in gpudom 60 "/share/gpudom-start test.conf"
/share/gpudom-names &
xl create -q /share/guest.cfg 'on_reboot="restart"' memory=128
check "with settings by name, gpudom-names lets a guest boot unpaused" wait_until 90 booted guest
d=$(domid guest)
xl reboot guest
check "and restart" wait_until 60 another "$d"
check "with its GPU" wait_until 90 booted guest
xl destroy guest
pkill -x xenstore-watch
check "FLASK has refused nothing" no_avc
gpudom_log
