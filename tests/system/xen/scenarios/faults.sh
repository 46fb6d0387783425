# SPDX-License-Identifier: MIT
# Sourced in dom0: workers and gpudomd die under running guests, one that draws in 3D and one that flips
# in 2D all the while. The guests go on, and nothing is left over.
. /share/pictures.sh

no_avc() { ! avc; }
frame() { { echo 0 && sed -n 's/\r//; s/^guest: frame \([0-9]*\)$/\1/p' /share/out/guest-red.log; } | tail -n 1; }
frame_after() { [ "$(frame)" -gt "$1" ]; }
red_draws() { wait_until 90 frame_after $(($(frame) + 20)); }
# Its picture has a newer frame than what it said last before, and all is of its own colour.
red_is_right() {
	f=$(frame)
	red_draws && picture /tmp/red.png red >/tmp/picture.log &&
		/share/bin/check_png /tmp/red.png 512x384 -1,0=c02010 0,-1=c02010 16,0=c02010 255,191=3fdfef \
			'colours<4' >/tmp/differs && [ $((0x$(/share/bin/check_png /tmp/red.png '0,0=?'))) -gt "$f" ] ||
		{ say "  $(cat /tmp/picture.log /tmp/differs)"; return 1; }
}
# Monitors and renderers. worker_of NAME: its renderer.
workers() { run_in gpudom 20 'pgrep -x gpudom-worker | sort' && cat /tmp/gpudom.out; }
worker_of() { run_in gpudom 20 "pgrep -n -f '^[^ ]*gpudom-worker .*--guest=$1'" && cat /tmp/gpudom.out; }
gpudomd_ready() { run_in gpudom 20 'pgrep -x gpudomd' && [ "$(xenstore-read "/local/domain/$(domid gpudom)/drivers/gpudom/status")" = ready ]; }
new_worker() { w=$(worker_of "$1") && [ -n "$w" ] && [ "$w" != "$2" ]; }

guests_up() {
	for g in red guest; do
		start -p $g memory=256
		check "$g: its GPU is served" /share/gpudom-unpause $g 90
		check "$g boots" wait_until 120 booted $g
	done
}
guests_away() {
	for g in red guest; do
		xl destroy $g 2>/tmp/destroy.log
		check "xl destroy $g goes without an error" [ ! -s /tmp/destroy.log ]
	done
}

prepare
start gpudom && wait_until 120 booted gpudom || return
run_in gpudom 60 "/share/gpudom-start -k faults.conf"
guests_up
guests_away
counts /share/out/counts-before
while read -r line; do say "  $line"; done </share/out/counts-before
rm -f /share/out/guest-guest.log /share/out/guest-red.log
guests_up
type_to red '/share/bin/flips c02010 </dev/null'
check "red draws" red_is_right

# --- a worker, in 2D
w=$(worker_of red) f=$(frame) t0=$(up)
run_in gpudom 20 "kill -9 $w"
check "kill -9 of red's worker: its program goes on" wait_until 90 frame_after $((f + 9))
say "  from the kill to a frame, no more than $(since "$t0") s"
check "  its picture is right" red_is_right
check "  it has another worker" new_worker red "$w"

# --- a worker, in 3D
run_in guest 20 'glmark2-es2-drm --visual-config alpha=0 -b build:duration=600 >/tmp/glmark2.log 2>&1 & echo $! >/tmp/glmark2.pid'
renders() { run_in guest 20 'grep GL_RENDERER /tmp/glmark2.log' && grep -q virgl /tmp/guest.out; }
check "guest renders with virgl" wait_until 120 renders
horse() { picture /tmp/guest.png guest >/tmp/picture.log && /share/bin/check_png /tmp/guest.png 1024x768 'colours>100' >/tmp/differs; }
check "it shows what it renders" wait_until 120 horse
w=$(worker_of guest) t0=$(up)
run_in gpudom 20 "kill -9 $w"
check "kill -9 of guest's worker: it gets another" wait_until 90 new_worker guest "$w"
say "  after $(since "$t0") s"
check "  red has not noticed" red_is_right
run_in guest 30 'kill -9 $(cat /tmp/glmark2.pid); sleep 1; dmesg | grep -c "virtio.*ERROR"'
say "  the guest's kernel has logged $(tail -n 1 /tmp/guest.out) errors; its program has said: $(run_in guest 20 'tail -n 1 /tmp/glmark2.log'; cat /tmp/guest.out)"
type_to guest "clear >/dev/tty0; echo 'this is the console' >/dev/tty0; echo 'guest: look console'; read -r answer"
look_at=guest
look console 'drawn>50' 1024x768 'colours<20'
say "  the console is back $(since "$t0") s after the kill"
begin_in guest "/share/bin/pixels -w /dev/hvc0 dumb flip dirty cursor moved gl texture"
look_2d
look_cursor
look_gl
check "  new programs draw in 2D and 3D" end_in guest 60

# --- gpudomd: the same workers go on
w=$(workers) f=$(frame)
run_in gpudom 20 'pkill -HUP -x gpudom-keeper'
check "gpudomd restarts: red's program goes on" wait_until 90 frame_after $((f + 9))
check "  gpudomd is ready" wait_until 60 gpudomd_ready
check "  its picture is right" red_is_right
check "  the workers are the same" [ "$(workers)" = "$w" ]
f=$(frame)
run_in gpudom 20 'pkill -9 -x gpudomd'
check "kill -9 of gpudomd: red's program goes on" wait_until 90 frame_after $((f + 9))
check "  gpudomd is ready" wait_until 60 gpudomd_ready
check "  its picture is right" red_is_right
check "  the workers are the same" [ "$(workers)" = "$w" ]
f=$(frame)
run_in gpudom 20 "kill -9 $(worker_of red) \$(pgrep -x gpudomd)"
check "kill -9 of red's worker and gpudomd: red's program goes on" wait_until 90 frame_after $((f + 9))
check "  its picture is right" red_is_right
: >/share/out/guest-guest.log
begin_in guest "/share/bin/pixels -w /dev/hvc0 dumb flip gl texture"
look dumb 1024x768 1,1=c02010
look flip -1,-1=10c020
look_gl
check "  guest draws in 2D and 3D" end_in guest 60

guests_away
same_as_before() { counts /share/out/counts-after && same_counts /share/out/counts-before /share/out/counts-after; }
check "nothing is left over" same_as_before
gpudom_log

# --- nobody keeps descriptors: the next gpudomd finds the guest's IOREQ server
stop='pkill -x gpudom-keeper; while pgrep -x gpudomd || pgrep -x gpudom-worker; do sleep 0.2; done'
check "gpudom-keeper ends" run_in gpudom 60 "$stop"
run_in gpudom 60 "/share/gpudom-start faults.conf"
start -p red memory=256
check "red: its GPU is served" /share/gpudom-unpause red 90
check "red boots" wait_until 120 booted red
run_in gpudom 30 'pkill -9 -x gpudomd; while pgrep -x gpudom-worker; do sleep 0.2; done'
begin_in red '/share/bin/kicks 0x2000000 5'
run_in gpudom 60 "/share/gpudom-start faults.conf"
check "kill -9 of a gpudomd that nobody keeps: red's CPU goes on with the next one" end_in red 60
check "red's driver, bound again, finds a GPU" run_in red 60 \
	'cd /sys/bus/virtio/drivers/virtio_gpu; echo virtio0 >unbind; echo virtio0 >bind; [ -e virtio0 ]'
: >/share/out/guest-red.log
type_to red '/share/bin/flips c02010 </dev/null'
check "red draws again" red_is_right
xl destroy red 2>/tmp/destroy.log
check "xl destroy red goes without an error" [ ! -s /tmp/destroy.log ]
same_but_keeper() {
	counts /share/out/counts-plain
	grep -v 'keeper\|processes' /share/out/counts-before >/tmp/before
	grep -v 'keeper\|processes' /share/out/counts-plain >/tmp/plain
	cp /share/out/counts-before.xenstore /tmp/before.xenstore
	cp /share/out/counts-plain.xenstore /tmp/plain.xenstore
	same_counts /tmp/before /tmp/plain
}
check "nothing is left over" same_but_keeper
check "FLASK has refused nothing" no_avc
gpudom_log
