# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced in dom0: a driver domain that has a screen (vkms) and a keyboard (uinput), and a guest whose weston is shown
# there and is typed into. Its last picture is left as out/seat.png
# (docs/seat.png is one).
card=/dev/dri/card0
# screen FILE: what the driver domain's screen shows, checked against the CRC of what was scanned out.
screen() {
	run_in gpudom 60 "cd /run && kms_grab -c $card seat.png && tar -cf /dev/xvdc seat.png && blockdev --flushbufs /dev/xvdc" &&
		tar -xmf /tmp/scratch.img -C /tmp && mv /tmp/seat.png "$1"
}
shows() { screen /tmp/look.png && /share/bin/check_png /tmp/look.png "$@" >/tmp/differs; }
# type_keys CODE...: each down and up, on the keyboard in the driver domain; -CODE: with shift.
type_keys() {
	for k; do
		case $k in
		-*) echo "for f in key/42=1 key/${k#-}=1 key/${k#-}=0 key/42=0; do echo \$f; done >/run/keyboard;" ;;
		*) echo "for f in key/$k=1 key/$k=0; do echo \$f; done >/run/keyboard;" ;;
		esac
	done >/tmp/keys
	run_in gpudom 30 "$(tr '\n' ' ' </tmp/keys) true"
}
no_avc() { ! avc; }

prepare
# No console on vkms: it would be drawn by emulated CPUs.
start gpudom 'extra="console=hvc0 root=/dev/xvda ro rootfstype=squashfs init=/init role=gpudom quiet xen_privcmd.unrestricted=1 initcall_blacklist=vgem_init vkms.enable_overlay=1 vkms.enable_cursor=1 drm_kms_helper.fbdev_emulation=0"' vcpus=2 &&
	wait_until 90 booted gpudom || return
check "gpudom-seat starts in the driver domain" run_in gpudom 60 "/share/gpudom-seat-start; ls /dev/dri /dev/input; true"
run_in gpudom 60 "export PATH=\$PATH:/share/bin; /share/gpudom-start seat.conf"
d=transport=mmio,backend=gpudom,grant_usage=1
start -p guest "virtio=['type=virtio,device10,$d','type=virtio,device12,$d','type=virtio,device12,$d']" || return
/share/gpudom-unpause guest 60 || {
	not_ok "the guest's GPU and input devices are served before it runs"
	return
}
check "the guest boots" wait_until 90 booted guest
check "the guest has a keyboard and a pointer" run_in guest 20 "[ \$(grep -c 'Handlers=.*event' /proc/bus/input/devices) = 2 ]"
check "weston starts in the guest" run_in guest 120 /share/guest-weston
# The terminal: text on black.
check "the driver domain's screen shows its terminal" wait_until 60 shows 1024x768 'colours>20' 512,500=000000
cp /tmp/look.png /share/out/before.png
# date >/tmp/x
check "keys are pressed in the driver domain" type_keys 32 30 20 18 57 -52 53 20 50 25 53 45 28
arrived() { run_in guest 20 'grep : /tmp/x'; }
check "and arrive in the guest's terminal" wait_until 20 arrived
say "which has written: $(head -n 1 /tmp/guest.out)"
sleep 2
screen /tmp/look.png
check "the letters are on the screen" [ "$(/share/bin/check_png /tmp/look.png =/share/out/before.png | wc -l)" = 1 ]
cp /tmp/look.png /share/out/seat.png
run_in gpudom 20 'gpudomctl status'
sed 's/^/  /' /tmp/gpudom.out | while read -r l; do say "$l"; done
check "FLASK has refused nothing" no_avc
gpudom_log
run_in gpudom 20 'cat /run/seat.log' && cp /tmp/gpudom.out /share/out/seat.log
xl destroy guest
check "a guest that is gone leaves nothing on the screen" wait_until 20 shows 1024x768 'colours<2'
