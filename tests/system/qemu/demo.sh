#!/bin/sh
# SPDX-License-Identifier: MIT
# make demo: a Debian trixie guest with its stock kernel and Mesa, under QEMU and without Xen, draws
# the glmark2 horse on its virtio-gpu output; gpudom-worker renders it, and demo.png is what its
# headless display shows in the middle of the scene. Nothing but packages is downloaded (about
# 220 MB, once); KVM is used where it works.
# usage: demo.sh [SECONDS]     how long the guest draws (default 10)
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
case ${1-} in -h | --help) sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;; esac
seconds=${1:-10}
top=$(cd "$here/../../.." && pwd)

need_packages gcc libpng-dev cpio
image=$("$here/image.sh")
qemu=$("$here/qemu.sh" trixie)
# shellcheck source=guest.sh
. "$here/guest.sh"
${CC:-gcc} -O2 -o "$work/check_png" "$here/../check_png.c" -lpng

# virtio-gpu's plane takes no alpha, which glmark2 would ask for: each of its mode sets would fail
# (and it would report its frames all the same).
cat >"$work/job/run.sh" <<-EOT
	glmark2-es2-drm --visual-config alpha=0 -b build:duration=$seconds
EOT
rm -f "$top/demo.png"
guest_device worker --renderer=virgl --display=headless --mode=1024x768 --png-dir="$work" --stats
say "booting the guest"
guest_start
guest_wait 'guest: userspace ready'
say "it is up; glmark2 starts"
guest_wait '[build]'
say "it draws for $seconds seconds"
sleep $((seconds / 2))
kill -USR1 "$device_pid"
wait_for 10 test -s "$work/scanout-0.png" || guest_fail "no picture from the worker"
cp "$work/scanout-0.png" "$top/demo.png"
say "demo.png taken; waiting for the guest to finish"
guest_finish
kill -TERM "$device_pid"
wait "$device_pid" || guest_fail "the worker ended with status $?"
device_pid=''

renderer=$(sed -n 's/^ *GL_RENDERER: *\([^\r]*\).*/\1/p' "$work/console")
rate=$(sed -n 's/^\[build\].*FPS: *\([0-9]*\).*/\1/p' "$work/console")
case $renderer in
*virgl*) ;;
*) guest_fail "the guest renders with '$renderer', not with virgl" ;;
esac
[ -n "$rate" ] || guest_fail "glmark2 reported no frame rate"
# The horse is shaded: a blank screen, or the console, has a handful of colours.
"$work/check_png" "$top/demo.png" 1024x768 'colours>100' 'drawn>20000' >&2 ||
	die "demo.png does not show the horse"
cat <<-EOT

	The guest's GL_RENDERER   $renderer
	Frames                    about $((rate * seconds)) in $seconds seconds ($rate a second)
	The worker                $(tail -n 1 "$work/device.log")
	The picture               $top/demo.png
	Time for all of this      $(($(date +%s) - started)) seconds
EOT
