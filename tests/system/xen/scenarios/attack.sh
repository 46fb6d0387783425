# SPDX-License-Identifier: MIT
# Sourced in dom0: three guests: one draws in 2D, one in 3D, and one, with tight quotas, attacks (hostile.ko). The
# two draw the same frames with and without the attack. $seconds: how long each run is.
seconds=${seconds:-40}

no_avc() { ! avc; }
said() { while read -r line; do say "  $line"; done <"$1"; }
hostile() { run_in tight 60 "echo $1 >/sys/module/hostile/parameters/run"; }
# count NAME: of what the attacker has done and seen.
count() { sed -n "s/.*\<$1=\([0-9]*\).*/\1/p" /tmp/tight.out | tail -n 1; }
look_at_counts() { run_in tight 60 'cat /sys/module/hostile/parameters/counts'; }
at_least() { look_at_counts && [ "$(count "$1")" -ge "$2" ]; }
pids() { run_in gpudom 20 "pgrep -x gpudomd; pgrep -f '^[^ ]*gpudom-worker .*--guest=(plain|virgl)'" && cat /tmp/gpudom.out; }
log_lines() { run_in gpudom 20 'wc -l </run/gpudom/log' && cat /tmp/gpudom.out; }

# measured NAME FIELD: of a run's report, "frames N late N p50 N p99 N longest N ms".
measured() { sed -n "s/\r//; s/.*guest: frames .*\<$2 \([0-9.]*\).*/\1/p; " "/share/out/frames-$1"; }
frames_of() { sed -n "s/\r//; s/.*guest: frames \([0-9][0-9]*\) late.*/\1/p" "/share/out/frames-$1"; }

# draw RUN: both draw for as long.
draw() {
	begin_in plain "/share/bin/frames 100 $seconds"
	begin_in virgl "/share/bin/frames -g 400 $seconds"
	for g in plain virgl; do
		check "$1: $g shows frames, and none fails" end_in $g $((seconds * 4 + 120))
		cp /tmp/$g.out "/share/out/frames-$g-$1"
		say "  $g: $(sed -n 's/guest: \(frames .* ms\)/\1/p' "/tmp/$g.out")"
	done
}

prepare
start gpudom vcpus=2 && wait_until 120 booted gpudom || return
run_in gpudom 30 "/share/gpudom-start -k attack.conf"
for g in plain virgl; do start -p $g memory=256; done
start -p tight memory=256 'extra="console=hvc0 root=/dev/xvda ro rootfstype=squashfs init=/init role=guest loglevel=6 panic=5 initcall_blacklist=vkms_init,vgem_init,virtio_gpu_driver_init"'
for g in plain virgl tight; do
	check "$g: its GPU is served" /share/gpudom-unpause $g 120
	check "$g boots" wait_until 120 booted $g
done
# What a platform's owner does for fairness in front of gpudom: shares of the CPUs.
xl sched-credit2 -d gpudom -w 2048
for g in plain virgl; do xl sched-credit2 -d $g -w 1024; done
xl sched-credit2 -d tight -w 64
check "tight has an attacker in its kernel" run_in tight 60 'insmod /share/bin/hostile.ko'

draw without
before=$(pids) lines=$(log_lines) t0=$(up)
for way in cmr q; do
	check "tight attacks ($way)" hostile $way
	draw "attack-$way"
	look_at_counts
	say "  tight: $(cat /tmp/tight.out)"
done
hostile ''
check "thousands of commands were malformed" at_least errors 500
check "queues were" at_least rings 50
check "registers were written and read anywhere" at_least registers 1000
say "  $(($(log_lines) - lines)) lines in the log in $(since "$t0") s"
check "gpudomd, and the others' workers, are the same" [ "$(pids)" = "$before" ]
for g in plain virgl; do
	for a in cmr q; do
		say "$g, $a: frames $(frames_of $g-attack-$a) of $(frames_of $g-without), p50 $(measured $g-attack-$a p50) of $(measured $g-without p50) ms, p99 $(measured $g-attack-$a p99) of $(measured $g-without p99) ms"
	done
done
check "FLASK has refused nothing" no_avc
gpudom_log
