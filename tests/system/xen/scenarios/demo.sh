# SPDX-License-Identifier: MIT
# Sourced in dom0: a guest draws the glmark2 horse; gpudom, in a driver domain, renders it.
# $seconds: how long it draws.
prepare
start gpudom && wait_until 60 booted gpudom || return
run_in gpudom 60 "/share/gpudom-start demo.conf"
start -p guest || return
t0=$(up)
# Waits for gpudomd.
/share/gpudom-unpause guest 60 || {
	gpudom_log
	say "$(cat /share/out/gpudomd.log)"
	return
}
say "gpudomd has claimed the guest's GPU and the guest runs, $(since "$t0") s later"
t0=$(up)
first_frame() { logged gpudom 'the first frame is on'; }
wait_until 60 first_frame && say "the first frame is on its output $(since "$t0") s after it was unpaused"
wait_until 60 booted guest || {
	say "the guest does not boot"
	tail -n 20 /share/out/guest-guest.log
	return
}

say "the guest draws for $seconds s"
# Without alpha: virtio-gpu's plane has none, and glmark2's mode sets would fail.
begin_in guest "glmark2-es2-drm --visual-config alpha=0 -b build:duration=$seconds"
wait_until 120 logged guest GL_RENDERER
sed -n 's/\r//; s/^ *\(GL_RENDERER.*\)/\1/p' /share/out/guest-guest.log | while read -r l; do say "$l"; done
# When the scene has come up: a picture from its middle.
wait_until 120 logged guest '\[build\]'
sleep $((seconds / 2))
picture /share/out/xen-demo.png && say "picture taken"
end_in guest $((seconds * 10 + 60))
gpudom_log
say "$(sed -n 's/^\(\[build\].*\)/\1/p' /tmp/guest.out)"

avc >/share/out/avc.log
say "refused by FLASK: $(wc -l </share/out/avc.log)"
[ ! -s /share/out/avc.log ] || cat /share/out/avc.log
b=$(backend guest) t0=$(up)
xl destroy guest 2>/tmp/destroy.log
t=$(since "$t0")
if [ -s /tmp/destroy.log ] || xenstore-exists "$b"; then
	say "xl destroy guest took $t s and did not go well: $(cat /tmp/destroy.log)"
else
	say "xl destroy guest took $t s, nothing is left"
fi
