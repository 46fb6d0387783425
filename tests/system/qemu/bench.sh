#!/bin/sh
# SPDX-License-Identifier: MIT
# make bench-qemu: glmark2 (build, texture, desktop; off-screen, 1024x768) in the same guest on
#   gpudom      gpudom-worker as it is by default
#   unpaced     gpudom-worker --refresh=0
#   inprocess   QEMU 11's own virtio-gpu-gl-pci with egl-headless
#   contrib     QEMU's vhost-user-gpu (which crashes at times: only where named)
# all under the same QEMU 11 and with the same Mesa and virglrenderer, alternated run by run. Prints
# the frames per second of each run, the medians with the first device's ratio to the others, and
# the host's CPU milliseconds per frame (of QEMU, of the device, and their sum), which say more
# than frame rates where other work shares the machine.
# usage: bench.sh [-r RUNS] [-d SECONDS_PER_SCENE] [DEVICE]...
#        (default: -r 3 -d 4 gpudom inprocess unpaced)
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
runs=3 duration=4 scenes='build texture desktop'
while getopts r:d:h-: option; do
	case $option in
	r) runs=$OPTARG ;;
	d) duration=$OPTARG ;;
	*) sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- gpudom inprocess unpaced

need_packages gcc libdrm-dev pkg-config cpio
image=$("$here/image.sh")
qemu=$("$here/qemu.sh" forky)
# shellcheck source=guest.sh
. "$here/guest.sh"

preload() { # OUT SOURCE
	# shellcheck disable=SC2046 # flags
	${CC:-gcc} -shared -fPIC -O2 -D_GNU_SOURCE $(pkg-config --cflags libdrm) -o "$1" "$2"
}
preload "$work/job/onemode.so" "$here/../guest/onemode.c"
preload "$work/nofd.so" "$here/nofd.c"
tests=
for scene in $scenes; do tests="$tests -b $scene:duration=$duration"; done
cat >"$work/job/run.sh" <<-EOT
	ONEMODE=1024x768 LD_PRELOAD=/run/job/onemode.so glmark2-es2-drm --off-screen $tests || exit
	echo 'guest: is done'; read -r answer </dev/ttyS0
EOT
worker_runner=${qemu%/*}/run

# CPU seconds of a process up to now.
cpu() { sed 's/^.*) //' "/proc/$1/stat" | awk -v hz="$(getconf CLK_TCK)" '{ print ($12 + $13) / hz }'; }
cpu_all() { echo "$(cpu "$qemu_pid") $([ -z "$device_pid" ] || cpu "$device_pid")"; }

one_run() { # NUMBER DEVICE
	case $2 in
	gpudom) guest_device worker --mode=1024x768 ;;
	unpaced) guest_device worker --mode=1024x768 --refresh=0 ;;
	contrib) CONTRIB_ENV=LD_PRELOAD=$work/nofd.so && guest_device contrib ;;
	*) guest_device "$2" ;;
	esac
	guest_start
	guest_wait '[build]'
	before=$(cpu_all)
	guest_wait 'guest: is done'
	after=$(cpu_all)
	guest_answer
	guest_finish
	[ -z "$device_pid" ] || kill "$device_pid" 2>/dev/null || :
	device_pid=''
	grep -aq 'GL_RENDERER:.*virgl' "$work/console" || guest_fail "the guest did not use virgl"
	rates=$(sed -n 's/^\[\([a-z]*\)\].*FPS: *\([0-9]*\).*/\1 \2/p' "$work/console")
	frames=$(echo "$rates" | awk -v d="$duration" '{ n += $2 * d } END { print n }')
	{
		echo "$rates"
		echo "$before $after" | awk -v frames="$frames" '{
			qemu = $(NF / 2 + 1) - $1
			device = NF == 4 ? $4 - $2 : 0
			printf "qemu-ms %.1f\ndevice-ms %.1f\nall-ms %.1f\n",
				1000 * qemu / frames, 1000 * device / frames, 1000 * (qemu + device) / frames }'
	} | sed "s/^/$1 $2 /" >>"$work/results"
	say "run $1, $2: $(awk -v r="$1" -v d="$2" '$1 == r && $2 == d { printf "%s %s  ", $3, $4 }' "$work/results")"
}

say "$runs runs of each of: $*; $duration seconds a scene, on $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
run=0
while [ $((run += 1)) -le "$runs" ]; do
	for device; do one_run "$run" "$device"; done
done

# One line for each scene: the devices' runs and medians, and the first device's ratio to others.
for what in $scenes qemu-ms device-ms all-ms; do
	line=$(printf '%-9s' "$what") first=''
	for device; do
		values=$(awk -v d="$device" -v w="$what" '$2 == d && $3 == w { print $4 }' "$work/results")
		median=$(echo "$values" | sort -n | sed -n "$(((runs + 1) / 2))p")
		first=${first:-$median}
		line="$line | $device $(echo "$values" | tr '\n' ' ')median $median"
		[ "$device" = "$1" ] || line="$line ($1/$device $(echo "$first $median" |
			awk '{ if ($2 > 0) printf "%.2f", $1 / $2; else print "-" }'))"
	done
	echo "$line"
done
