# SPDX-License-Identifier: MIT
# Sourced in dom0: three guests: plain draws in 2D, virgl in 3D, and tight, whose quotas are tight, attacks with
# hostile.ko: registers, queues, commands, quotas; then it crashes its worker, which is the compromised
# build, $crashes times. $tight: its renderer (virgl). The two draw all the while, each frame measured, for $seconds at a time, first without.
seconds=${seconds:-30} crashes=${crashes:-10} ways=${ways:-m r c q}

no_avc() { ! avc; }
hostile() { run_in tight 60 "echo $1 >/sys/module/hostile/parameters/run"; }
# counted NAME: of what the attacker has done and seen.
counted() { sed -n "s/.*\<$1=\([0-9]*\).*/\1/p" /share/out/attacker | tail -n 1; }
look_at_attacker() {
	run_in tight 60 'cat /sys/module/hostile/parameters/counts' || return
	cp /tmp/tight.out /share/out/attacker
}
# status GUEST FILTER: of the guest's GPU (jq's words), by gpudomctl.
status() {
	run_in gpudom 60 "gpudomctl status --json | jq -rM '.guests[] | select(.name == \"$1\").devices[0] | $2'" && cat /tmp/gpudom.out
}
workers() { echo "$(run_in gpudom 20 'pgrep -x gpudomd' && cat /tmp/gpudom.out) $(status plain .pid) $(status virgl .pid)"; }
log_lines() { run_in gpudom 20 'wc -l </run/gpudom/log' && cat /tmp/gpudom.out; }

# measured GUEST-RUN FIELD: of a run's report, "guest: frames N late N p50 N p99 N longest N ms".
measured() {
	awk -v f="$2" '/guest: frames [0-9]/ { for (i = 1; i < NF; i++) if ($i == f) print $(i + 1) }' "/share/out/frames-$1"
}
begin_drawing() {
	for g in plain virgl; do
		how='100'
		[ $g = plain ] || how='-g 400'
		run_in $g 20 "/share/bin/frames $how $1 >/tmp/frames.out 2>&1 & echo \$! >/tmp/frames.pid"
	done
}
# end_drawing RUN LIMIT
end_drawing() {
	for g in plain virgl; do
		seen=$(cat "/tmp/$g.shown")
		check "$1: $g draws, and no frame fails" run_in $g "$2" 'wait $(cat /tmp/frames.pid); r=$?; cat /tmp/frames.out; [ $r = 0 ]'
		logged $g "@done-$(cat /tmp/$g.serial) " || stuck $g "$1"
		cp /tmp/$g.out "/share/out/frames-$g-$1"
		say "  $g: $(sed -n 's/guest: \(frames .* m\?s\)/\1/p' /tmp/$g.out | tr '\n' ';')"
		shown $g
		# Four frames are not measured.
		check "$1: each of $g's frames came to its output" each_came $g "$1"
	done
}
# stuck GUEST RUN: what may tell why its program does not end. The guest's tasks go to its console, and its timers:
# one that should have expired long ago, of a CPU that sleeps, is the emulator's doing (boot.sh).
stuck() {
	status "$1" . >"/share/out/stuck-$1-$2.json"
	xl sysrq "$1" w
	xl sysrq "$1" q
	run_in gpudom 60 'for p in $(pgrep -x gpudomd) $(pgrep gpudom-worker); do kill -USR2 $p; done; sleep 2'
	gpudom_log
	status "$1" . >"/share/out/stuck-$1-$2-later.json"
}
each_came() { n=$(measured "$1-$2" frames) && [ "$n" -gt 10 ] && [ $(($(cat "/tmp/$1.shown") - seen)) -ge $((n + 4)) ]; }
shown() { status "$1" '.worker.outputs[0].frames' >"/tmp/$1.shown"; }
beside() {
	say "$1, $2: frames $(measured $1-$2 frames), without $(measured $1-without frames); p50 $(measured $1-$2 p50), without $(measured $1-without p50) ms; p99 $(measured $1-$2 p99), without $(measured $1-without p99) ms; late $(measured $1-$2 late), without $(measured $1-without late)"
}

prepare
start gpudom vcpus=2 && wait_until 120 booted gpudom || return
# Workers with OpenGL take long to start under emulation: for many crashes, one without.
[ -z "${tight:-}" ] || run_in gpudom 60 "sed -i '/^.guest tight/,\$s/^renderer = .*/renderer = $tight/' /share/attack.conf"
# Lines of the log would get between those of the commands that are run there.
run_in gpudom 30 "QUIET=/dev/null /share/gpudom-start -k attack.conf --worker=/share/bin/gpudom-worker-compromised"
for g in plain virgl; do start -p $g memory=256; done
start -p tight memory=256 'extra="console=hvc0 root=/dev/xvda ro rootfstype=squashfs init=/init role=guest loglevel=6 panic=5 initcall_blacklist=vkms_init,vgem_init,virtio_gpu_driver_init"'
for g in plain virgl tight; do
	check "$g: its GPU is served" /share/gpudom-unpause $g 120
	check "$g boots" wait_until 120 booted $g
done
# What the platform's owner does for fairness in front of gpudom: shares of the CPUs.
xl sched-credit2 -d gpudom -w 2048
for g in plain virgl; do xl sched-credit2 -d $g -w 1024; done
xl sched-credit2 -d tight -w 128
check "tight has an attacker in its kernel" run_in tight 60 'insmod /share/bin/hostile.ko'
shown plain
shown virgl

# What a worker that was taken over would do: map another guest's pages. attempt OPTION...: by one that serves nobody.
attempt() {
	run_in gpudom 60 "export COMPROMISED_DOMID=$(domid plain); cd /; timeout 8 setpriv --reuid=gpudom --regid=gpudom --init-groups --inh-caps=-all --bounding-set=-all --no-new-privs /share/bin/gpudom-worker-compromised --compromised=map-grant --renderer=soft --socket-path=/run/gpudom/attempt $* 2>&1"
	while read -r line; do say "  $line"; done </tmp/gpudom.out
}
attempt --sandbox=off
check "gpudom's user can map what plain has granted" grep -q 'map-grant: SUCCEEDED ([1-9][0-9]* pages of domain' /tmp/gpudom.out
attempt --sandbox=strict
check "a contained worker cannot" grep -q 'refuses the system call ioctl' /tmp/gpudom.out
attempt --sandbox=strict "--domid=$(domid tight)"
check "nor can one that has a monitor to ask, for another guest" grep -q 'refuses the system call ioctl' /tmp/gpudom.out

begin_drawing "$seconds"
end_drawing without $((seconds * 4 + 120))

run_in gpudom 60 /share/gpudom-memory
while read -r line; do say "  $line"; done </tmp/gpudom.out

before_attack=$(workers) lines=$(log_lines) t0=$(up)
said=
for way in $ways; do
	# One that comes again has a number: q, q2, q3.
	n=$(for w in $said; do [ "${w%%[0-9]*}" != "$way" ] || echo "$w"; done | wc -l)
	kind=$way
	[ "$n" = 0 ] || way=$way$((n + 1))
	said="$said $way"
	check "tight attacks ($way)" hostile $kind
	begin_drawing "$seconds"
	end_drawing $way $((seconds * 4 + 120))
	look_at_attacker || {
		not_ok "tight does not answer"
		xl vcpu-list >/share/out/vcpus
		status tight . >/share/out/tight.json
		run_in gpudom 60 'pkill -USR2 -x gpudomd; sleep 1'
	}
done
hostile ''
say "  tight has done: $(cat /share/out/attacker)"
attacked() { case " $ways " in *" $1 "*) ;; *) false ;; esac }
! attacked m || check "registers were written and read anywhere" [ "$(counted registers)" -ge 1000 ]
! attacked r || check "queues were malformed" [ "$(counted rings)" -ge 50 ]
! attacked c || check "commands were" [ "$(counted errors)" -ge 500 ]
if attacked q; then
	check "all resources that it may have" [ "$(counted resources)" = 200 ]
	# A renderer without OpenGL has none.
	[ -n "${tight:-}" ] || check "all contexts" [ "$(counted contexts)" = 8 ]
	check "all memory of the host's" [ "$(counted pixels_mib)" = 32 ]
	check "all memory of its own as backings" [ "$(counted backings_mib)" = 30 ]
	check "what is more is refused" [ "$(counted refused)" -ge 100 ]
fi
lines=$(($(log_lines) - lines)) unwritten=$(status tight .log_suppressed)
say "  $lines lines in the log in $(since "$t0") s; $unwritten were not written"
check "the log has no more than five lines for a second of it" [ $lines -le "$(($(cut -d. -f1 /proc/uptime) * 5 - ${t0%.*} * 5 + 100))" ]
check "gpudomd and the others' workers are the same" [ "$(workers)" = "$before_attack" ]

# --- its worker crashes; 5 times a minute, and it is blocked until somebody allows it again
blocked() { [ "$(status tight .state)" = blocked ]; }
deaths() { status tight .deaths; }
first=$(deaths) blocks=0 t0=$(up)
limit=$((crashes * 25 + 60))
begin_drawing 10000
check "tight's kernel crashes its worker" hostile x
while [ $(($(deaths) - first)) -lt "$crashes" ] && [ "$(cut -d. -f1 /proc/uptime)" -lt $((${t0%.*} + limit)) ]; do
	if blocked; then
		blocks=$((blocks + 1))
		[ $blocks -gt 1 ] || say "  $(status tight .trouble)"
		run_in gpudom 60 'gpudomctl unblock tight'
	fi
done
died=$(($(deaths) - first))
check "its worker crashed $died times (in $(since "$t0") s); it was blocked, and unblocked, $blocks times" \
	[ $died -ge "$crashes" -a $blocks -ge 1 ]
check "it is blocked in the end" wait_until 120 blocked
say "  $(status tight .last_death)"
for g in plain virgl; do run_in $g 20 'kill $(cat /tmp/frames.pid)'; done
end_drawing x 60
check "gpudomd and the others' workers are the same" [ "$(workers)" = "$before_attack" ]
for g in plain virgl; do
	for way in $said x; do beside $g $way; done
done
check "FLASK has refused nothing" no_avc
gpudom_log
for g in plain virgl tight; do xl destroy $g; done
