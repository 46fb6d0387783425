# SPDX-License-Identifier: MIT
# Sourced in dom0: what it costs that a sandboxed worker reaches grants by way of its monitor. One guest, whose
# worker is replaced by one of another shape (gpudom-worker(1), --grants), by turns, while it runs.

of() { sed -n "s/^$1 //p" /tmp/measured | head -n 1; }
# per COUNT N
per() { awk -v n="${1:-0}" -v d="${2:-0}" 'BEGIN { if (d > 0) printf "%.3g", n / d; else printf "-" }'; }
end_measure() {
	run_in gpudom 60 '/share/gpudom-measure end'
	cp /tmp/gpudom.out /tmp/measured
	cp /tmp/measured "/share/out/$1"
}
w=gpudom-worker
glmark() {
	run_in guest 20 'glmark2-es2-drm --visual-config alpha=0 -b build:duration=1000 >/tmp/glmark2.log 2>&1 & echo $! >/tmp/glmark2.pid'
	wait_until 60 run_in guest 20 'grep GL_RENDERER /tmp/glmark2.log'
	sleep 8
}
# measure SHAPE ROUND
measure() {
	run_in guest 60 '/share/bin/kicks 0x2000000 300' && say "$1: a kick, idle: $(sed -n 's/^guest: //p' /tmp/guest.out)"
	glmark
	run_in gpudom 60 '/share/gpudom-measure count'
	sleep 15
	end_measure "$1-$2"
	f=$(of $w.frames) c=$(of $w.commands) b=$(of $w.batches)
	say "$1: 3D (glmark2 build) for 15 s: $f frames, $c commands in $b batches; a frame: $(per "$(of $w.questions)" "$f") questions, $(per "$(of $w.copy_calls)" "$f") copies, $(per "$(of $w.map_calls)" "$f") maps"
	run_in gpudom 60 '/share/gpudom-measure begin'
	sleep 8
	end_measure "$1-$2-calls"
	f=$(of $w.frames)
	for p in $w gpudom-monitor gpudomd; do
		say "$1: calls to the kernel for a frame ($f, traced): $p: $(per "$(of $p.call.ioctl)" "$f") ioctls, $(per "$(of $p.call.epoll_pwait)" "$f") + $(per "$(of $p.call.epoll_wait)" "$f") waits, $(per "$(of $p.call.write)" "$f") writes, $(per "$(of $p.call.read)" "$f") reads, $(per "$(of $p.call.recvmsg)" "$f") recvmsg"
	done
	run_in guest 20 'kill -9 $(cat /tmp/glmark2.pid)'
}

prepare
start gpudom vcpus=1 && wait_until 120 booted gpudom || return
run_in gpudom 60 'mkdir -p /run/gpudom; echo relay >/run/gpudom/shape; chmod 644 /run/gpudom/shape'
run_in gpudom 60 "/share/gpudom-start measure.conf --ioeventfd --worker=/share/gpudom-worker-as"
start -p guest vcpus=1 'extra="console=hvc0 root=/dev/xvda ro rootfstype=squashfs init=/init role=guest loglevel=6 initcall_blacklist=vkms_init,vgem_init"'
/share/gpudom-unpause guest 90 && wait_until 120 booted guest || return
for round in $(seq "${rounds:-2}"); do
	for shape in direct ask relay; do
		run_in gpudom 20 "echo $shape >/run/gpudom/shape; pkill -9 -o -x gpudom-worker; sleep 3; pgrep -x gpudom-worker"
		measure $shape "$round"
	done
done
gpudom_log
ok "measured"
