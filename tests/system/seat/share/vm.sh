# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by /init in the machine of ../vm.sh: udevd, then the script, or a shell. On top of the functions here there
# are say, ok, not_ok, check and wait_until of functions.sh,
# and those of seat.sh.
. /share/functions.sh
. /share/seat.sh

# host REQUEST...: asks the machine outside.
#   dump N NAME.png       the virtio-gpu's Nth screen, into /share/out
#   plug N WIDTH HEIGHT   plugs a monitor in there, or another one; unplug N: the guest is told within a second
#   qmp COMMAND [JSON]    of QEMU
host() {
	echo "$*" >&4
	read -r answer <&4
	[ "$answer" = ok ] || {
		echo "host $*: $answer"
		return 1
	}
}

# card DRIVER: the device node of the first DRM card of it: vkms, virtio_gpu, vgem
card() {
	for d in /sys/kernel/debug/dri/[0-9] /sys/kernel/debug/dri/[0-9]*; do
		read -r driver more <"$d/name" || continue
		[ "$driver" != "$1" ] || {
			echo "/dev/dri/card${d##*/}"
			return
		}
	done
	return 1
}

mkdir -p /run/udev /var/log
export XDG_RUNTIME_DIR=/run
/usr/lib/systemd/systemd-udevd --daemon 2>/dev/null
udevadm trigger --action=add --subsystem-match=input --subsystem-match=drm --subsystem-match=virtio-ports
udevadm settle
for p in /sys/class/virtio-ports/*; do
	[ "$(cat "$p/name" 2>/dev/null)" != host ] || exec 4<>"/dev/${p##*/}"
done
# QEMU takes its not knowing of a window for one of no size, and would not tell the guest of its end.
host plug 0 1024 768
if [ -r /share/run.sh ]; then
	(
		. /share/run.sh
	)
	echo "script ended with $?"
	sync
	poweroff -f
fi
