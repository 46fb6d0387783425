#!/bin/sh
# SPDX-License-Identifier: MIT
# System test: a stock Linux guest under QEMU on gpudom-worker, without Xen. The guest shows known
# pictures through its virtio-gpu driver (dumb buffers, page flips, damage, the cursor plane, GL),
# and their pixels are compared with the picture that arrived:
#   virgl      rendered by virglrenderer, shown by the headless display
#   frontend   the same, shown by QEMU (the display socket of vhost-user-gpu)
#   soft       2D alone, without virglrenderer
# A guest is booted for each. Pictures that differ are left in build/system-test.
# usage: test.sh [virgl|frontend|soft]...
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
case ${1-} in -h | --help) sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;; esac

need_packages gcc pkg-config libdrm-dev libgbm-dev libegl-dev libgles-dev libpng-dev cpio
image=$("$here/image.sh")
qemu=$("$here/qemu.sh" trixie)
# shellcheck source=guest.sh
. "$here/guest.sh"
passed=0 failed=0
keep=$here/../../../build/system-test
rm -rf "$keep"
mkdir -p "$keep" "$work/job.d/job"

ok() {
	passed=$((passed + 1))
	echo "ok $((passed + failed)) - $case: $*"
}
not_ok() {
	failed=$((failed + 1))
	echo "not ok $((passed + failed)) - $case: $*"
}
check() { # TEXT COMMAND...
	t=$1
	shift
	if "$@"; then ok "$t"; else not_ok "$t"; fi
}

build_programs() {
	flags='-O2 -std=gnu11 -D_GNU_SOURCE -Wall'
	# shellcheck disable=SC2046,SC2086 # lists of flags
	{
		${CC:-gcc} $flags -o "$work/check_png" "$here/../check_png.c" -lpng
		${CC:-gcc} $flags $(pkg-config --cflags libdrm gbm egl glesv2) \
			-o "$work/job.d/job/pixels" "$here"/../guest/pixels*.c -ldrm -lgbm -lEGL -lGLESv2
	} || die "the guest's programs do not compile"
}

# The picture on the guest's output as of now, in $work/picture.png.
take_picture() {
	rm -f "$work/picture.png"
	if [ "$shown_by" = qemu ]; then
		guest_screendump "$work/picture.png"
	else
		rm -f "$work/scanout-0.png"
		kill -USR1 "$device_pid"
		wait_for 5 test -s "$work/scanout-0.png" || return 1
		cp "$work/scanout-0.png" "$work/picture.png"
	fi
}
picture_is() {
	take_picture && "$work/check_png" "$work/picture.png" "$@" >"$work/differs" 2>&1
}

# look STEP WORD...: when the guest has reached the step, its picture must become what the words
# (of check_png) say; then the guest goes on. A frame may be on its way: it has ten seconds.
look() {
	step=$1
	shift
	guest_wait "guest: look $step"
	if wait_for 10 picture_is "$@"; then
		ok "$step"
	else
		not_ok "$step"
		sed 's/^/# /' "$work/differs" || :
		cp "$work/picture.png" "$keep/$case-$step.png" || :
	fi
	guest_answer
}

# What guest/pixels.c draws at 1024x768. The four quadrants of dumb and flip:
rotated='511,383=2010c0 512,383=c02010 511,384=c0c020 512,384=10c020'
look_2d() {
	look dumb 1024x768 0,0=ffffff -1,0=00ffff 0,-1=ff00ff -1,-1=ffff00 1,1=c02010 \
		511,383=c02010 512,383=10c020 511,384=2010c0 512,384=c0c020
	# shellcheck disable=SC2086
	look flip 1024x768 0,0=2010c0 -1,-1=10c020 $rotated
	# shellcheck disable=SC2086
	look dirty $rotated 101,53=00ff80 133,69=00ff80 100,53=2010c0 101,52=2010c0 134,69=2010c0 \
		133,70=2010c0
}
look_cursor() {
	look cursor 200,150=ff40a0 231,181=ff40a0 232,150=2010c0 263,181=2010c0 199,150=2010c0 \
		200,182=100860~2 263,213=100860~2 264,213=2010c0 101,53=00ff80
	look moved 200,150=2010c0 263,213=2010c0 0,0=ff40a0 15,15=ff40a0 16,15=2010c0 \
		15,16=100860~2 47,47=100860~2 48,47=2010c0
}
look_gl() {
	look gl 1024x768 -1,0=336699 512,50=336699 -50,384=336699 512,-50=ff8000 50,384=ff8000 \
		0,-1=ff8000
	look texture 511,0=202020 0,-31=202020 40,-1=202020 0,-30=ffffff 39,-1=ffffff \
		513,-1=c80000 -1,-1=00c800 513,0=0000c8 -1,0=c8c800 767,384=c80000 768,383=c8c800
}

# start CASE 'STEPS' OPTION...: a worker with the options, and a guest that takes the steps.
start() {
	case=$1 steps=$2
	shift 2
	guest_device worker --mode=1024x768 --png-dir="$work" --stats "$@"
	cat >"$work/job.d/job/run.sh" <<-EOT
		echo 'this is the console' >/dev/tty0
		echo 'guest: look console'; read -r answer </dev/ttyS0
		pixels -w /dev/ttyS0 $steps || exit
		dmesg | grep -E '\\*ERROR\\*|virtio.gpu.*(response|timed out)' && exit 1
		exit 0
	EOT
	say "$case: booting the guest"
	guest_start "$work/job.d/job"
	look console "drawn>50"
}

finish() {
	guest_finish
	ok "the guest's driver reported no error"
	check "the worker outlives the guest" kill -0 "$device_pid"
	kill -TERM "$device_pid" 2>/dev/null || :
	r=0
	wait "$device_pid" || r=$?
	device_pid=''
	check "the worker ends well when asked to (status $r)" [ "$r" -eq 0 ]
}

case_virgl() {
	shown_by=worker
	start virgl 'dumb flip dirty cursor moved gl texture' --renderer=virgl --display=headless
	look_2d
	look_cursor
	# The cursor is still there, at the upper left.
	look_gl
	check "the guest renders with virgl" grep -a 'guest: renderer.*virgl' "$work/console"
	finish
}

case_frontend() {
	shown_by=qemu
	start frontend 'dumb flip dirty gl texture' --renderer=virgl --display=frontend
	look_2d
	look_gl
	finish
}

case_soft() {
	shown_by=worker
	start soft 'dumb flip dirty cursor moved' --renderer=soft --display=headless
	look_2d
	look_cursor
	finish
}

build_programs
[ $# -gt 0 ] || set -- virgl frontend soft
for c; do
	"case_$c"
done
say "$passed passed, $failed failed"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
