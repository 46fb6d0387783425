# SPDX-License-Identifier: MIT
# Sourced in dom0: measures, in counts where possible, as times under emulation say little.

# of NAME: what the worker has counted; of_gpudomd NAME.
of() { sed -n "s/^gpudom-worker\.$1 //p" /tmp/measured; }
of_gpudomd() { sed -n "s/^gpudomd\.$1 //p" /tmp/measured; }
begin_measure() { run_in gpudom 60 '/share/gpudom-measure begin'; }
end_measure() {
	run_in gpudom 60 '/share/gpudom-measure end'
	cp /tmp/gpudom.out /tmp/measured
	cp /tmp/measured "/share/out/measured-$1"
}
# per COUNT N
per() { awk -v n="${1:-0}" -v d="${2:-0}" 'BEGIN { if (d > 0) printf "%.3g", n / d; else printf "-" }'; }

# table NAME: of what begin and end have seen.
table() {
	f=$(of frames) c=$(of commands) b=$(of batches)
	memory=$(($(of map_calls) + $(of unmap_calls) + $(of copy_calls)))
	traps=$(($(of_gpudomd reads) + $(of_gpudomd writes)))
	say "$1: $f frames, $c commands in $b batches"
	say "  a frame: $(per "$(of map_calls)" "$f") map, $(per "$(of unmap_calls)" "$f") unmap, $(per "$(of copy_calls)" "$f") copy calls; a batch: $(per $memory "$b") of all; a command: $(per $memory "$c")"
	say "  1000 commands: $(per "$traps"000 "$c") register traps, of these $(per "$(of_gpudomd kicks)"000 "$c") kicks; $(per "$(of interrupts)"000 "$c") interrupts"
	say "  calls to the kernel for 1000 commands: gpudomd: $(per "$(of_gpudomd call.ioctl)"000 "$c") ioctls, $(per "$(of_gpudomd call.epoll_pwait)"000 "$c") waits; worker: $(per "$(of call.ioctl)"000 "$c") ioctls, $(per "$(of call.epoll_pwait)"000 "$c") waits"
}
measure_2d() {
	begin_measure
	run_in guest 200 '/share/bin/flips -n 200 336699'
	grep 'flips in' /tmp/guest.out | while read -r line; do say "  $line"; done
	end_measure "2d-$1"
	table "2D flips, $1"
}
stall() { run_in guest 60 '/share/bin/kicks 0x2000000 300' && say "a kick, $1: $(sed -n 's/^guest: //p' /tmp/guest.out)"; }

prepare
start gpudom vcpus=1 && wait_until 120 booted gpudom || return
for how in '' --ioeventfd; do
	run_in gpudom 60 "/share/gpudom-start measure.conf $how"
	# One vCPU: with two, a guest hung in its boot behind --ioeventfd (gpudomd(8)).
	start -p guest vcpus=1 'extra="console=hvc0 root=/dev/xvda ro rootfstype=squashfs init=/init role=guest loglevel=6 initcall_blacklist=vkms_init,vgem_init"'
	/share/gpudom-unpause guest 90 && wait_until 120 booted guest || return
	say "== ${how:-kicks forwarded by gpudomd}"
	run_in gpudom 20 'for p in gpudomd gpudom-worker; do echo $p $(sed -n "s/^\(Rss[A-Z].*\):[^0-9]*\(.*\)/\1 \2,/p" /proc/$(pgrep -x $p)/status); done'
	while read -r line; do say "memory with an idle guest: $line"; done </tmp/gpudom.out
	stall "idle${how:+, $how}"
	begin_measure
	run_in guest 30 '/share/bin/flips -b'
	end_measure attach
	say "attach of 1920x1080: $(of map_calls) map calls of $(of pages_mapped) pages, $(of unmap_calls) unmaps, $(of copy_calls) copies, $(of commands) commands"
	measure_2d "${how:-forwarded}"
	run_in guest 20 'glmark2-es2-drm --visual-config alpha=0 -b terrain:duration=1000 >/tmp/glmark2.log 2>&1 & echo $! >/tmp/glmark2.pid'
	wait_until 60 run_in guest 20 'grep GL_RENDERER /tmp/glmark2.log'
	sleep 20
	stall "while the renderer is busy${how:+, $how}"
	run_in guest 20 'kill -9 $(cat /tmp/glmark2.pid); sleep 1'
	run_in guest 20 'glmark2-es2-drm --visual-config alpha=0 -b build:duration=1000 >/tmp/glmark2.log 2>&1 & echo $! >/tmp/glmark2.pid'
	sleep 30
	begin_measure
	sleep 20
	end_measure "gl-${how:-forwarded}"
	table "3D (glmark2 build), ${how:-forwarded}"
	run_in guest 20 'kill -9 $(cat /tmp/glmark2.pid)'
	xl destroy guest
	gpudom_log
	say "$(grep 'gpudomd itself forwarded' /share/out/gpudomd.log | tail -n 1)"
	run_in gpudom 60 'pkill -x gpudomd; while pgrep gpudom; do sleep 0.2; done'
done
ok "measured"
