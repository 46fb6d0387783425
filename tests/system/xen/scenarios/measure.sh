# SPDX-License-Identifier: MIT
# Sourced in dom0: measures, in counts where possible, as times under emulation say little.

value() { sed -n "s/^$1 //p" /tmp/measured; }
begin() { run_in gpudom 60 '/share/gpudom-measure begin'; }
end() {
	run_in gpudom 60 '/share/gpudom-measure end'
	cp /tmp/gpudom.out /tmp/measured
	cp /tmp/measured "/share/out/measured-$1"
}
# per N WORD: so many calls, a thousandth's precision.
per() { awk -v n="${1:-0}" -v d="${2:-0}" 'BEGIN { if (d > 0) printf "%.3g", n / d; else printf "-" }'; }

# table NAME FRAMES
table() {
	f=$2 c=$(value commands)
	say "$1: $c commands, $f frames"
	say "  a frame: $(per "$(value map_calls)" "$f") maps, $(per "$(value unmap_calls)" "$f") unmaps, $(per "$(value copy_calls)" "$f") grant copies, $(per "$(value gpudom-worker.ioctl)" "$f") ioctls of the worker"
	say "  a command: $(per "$(value copy_calls)" "$c") grant copies, $(per "$(value gpudomd.ioctl)" "$c") ioctls of gpudomd, $(per "$(value gpudom-worker.ioctl)" "$c") of the worker"
	say "  a batch ($(value interrupts) interrupts): $(per $(($(value map_calls) + $(value unmap_calls) + $(value copy_calls))) "$(value interrupts)") hypercalls for memory"
	say "  1000 commands: $(per "$(value interrupts)000" "$c") interrupts; gpudomd: $(per "$(value gpudomd.ioctl)000" "$c") ioctls, $(per "$(value gpudomd.epoll_pwait)000" "$c") wake-ups"
}
measure_2d() {
	begin
	run_in guest 200 '/share/bin/flips -n 200 336699'
	grep 'flips in' /tmp/guest.out | while read -r line; do say "  $line"; done
	end "2d-$1"
	table "2D flips, $1" "$(value frames)"
}
stall() { run_in guest 60 '/share/bin/kicks 0x2000000 300' && say "a kick, $1: $(sed -n 's/^guest: //p' /tmp/guest.out)"; }

prepare
start gpudom vcpus=1 && wait_until 120 booted gpudom || return
for how in '' --ioeventfd; do
	run_in gpudom 10 "/share/gpudom-start measure.conf $how"
	start -p guest vcpus=2 'extra="console=hvc0 root=/dev/xvda ro rootfstype=squashfs init=/init role=guest loglevel=6 initcall_blacklist=vkms_init,vgem_init"'
	/share/gpudom-unpause guest 90 && wait_until 120 booted guest || return
	say "== ${how:-kicks forwarded by gpudomd}"
	run_in gpudom 20 'for p in gpudomd gpudom-worker; do echo "$p $(sed -n "s/^Pss: *//p" /proc/$(pgrep -x $p)/smaps_rollup), private $(awk "/^Private/ { n += \$2 } END { print n }" /proc/$(pgrep -x $p)/smaps_rollup) kB"; done'
	while read -r line; do say "memory with an idle guest: $line"; done </tmp/gpudom.out
	stall "idle${how:+, $how}"
	begin
	run_in guest 30 '/share/bin/flips -b'
	end attach
	say "attach of 1920x1080: $(value map_calls) map calls of $(value pages_mapped) pages, $(value unmap_calls) unmaps, $(value copy_calls) grant copies, $(value commands) commands"
	measure_2d "${how:-forwarded}"
	run_in guest 20 'glmark2-es2-drm --visual-config alpha=0 -b terrain:duration=1000 >/tmp/glmark2.log 2>&1 & echo $! >/tmp/glmark2.pid'
	wait_until 60 run_in guest 20 'grep GL_RENDERER /tmp/glmark2.log'
	sleep 20
	stall "while the renderer is busy${how:+, $how}"
	run_in guest 20 'kill -9 $(cat /tmp/glmark2.pid); sleep 1'
	run_in guest 20 'glmark2-es2-drm --visual-config alpha=0 -b build:duration=1000 >/tmp/glmark2.log 2>&1 & echo $! >/tmp/glmark2.pid'
	sleep 30
	begin
	sleep 20
	end "gl-${how:-forwarded}"
	table "3D (glmark2 build), ${how:-forwarded}" "$(value frames)"
	run_in guest 20 'kill -9 $(cat /tmp/glmark2.pid)'
	xl destroy guest
	gpudom_log
	say "$(grep 'gpudomd itself forwarded' /share/out/gpudomd.log | tail -n 1)"
	run_in gpudom 60 'pkill -x gpudomd; while pgrep gpudom; do sleep 0.2; done'
done
ok "measured"
