#!/bin/sh
# SPDX-License-Identifier: MIT
# System test: a stock Linux guest under QEMU on gpudom-worker, without Xen. The guest shows known
# pictures through its virtio-gpu driver (dumb buffers, page flips, damage, the cursor plane, GL),
# and their pixels are compared with the picture that arrived:
#   virgl      rendered by virglrenderer, shown by the headless display
#   frontend   the same, shown by QEMU (the display socket of vhost-user-gpu)
#   soft       2D alone, without virglrenderer
# and, where named, under QEMU 11's vhost-user-test-device-pci, which hides no feature:
#   blob       2D from the guest's own pages (blobs)
#   context    virgl with blobs and CONTEXT_INIT
# A guest is booted for each. Pictures that differ are left in build/system-test.
# usage: [GPUDOM_WORKER=PROGRAM] test.sh [virgl|frontend|soft|blob|context]...
#        (default: the sanitizers' build/asan/gpudom-worker where that is, else the release's)
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
case ${1-} in -h | --help) sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;; esac

need_packages gcc pkg-config libdrm-dev libgbm-dev libegl-dev libgles-dev libpng-dev cpio
image=$("$here/image.sh")
qemu=$("$here/qemu.sh" trixie)
# shellcheck source=guest.sh
. "$here/guest.sh"
asan=$here/../../../build/asan/gpudom-worker
[ -n "${GPUDOM_WORKER-}" ] || [ ! -x "$asan" ] || worker=$asan
export LSAN_OPTIONS="suppressions=$here/../../lsan.supp:print_suppressions=0"
passed=0 failed=0
keep=$here/../../../build/system-test
rm -rf "$keep"
mkdir -p "$keep"

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
			-o "$work/job/pixels" "$here"/../guest/pixels*.c "$here"/../guest/screen.c -ldrm -lgbm -lEGL -lGLESv2
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

. "$here/../guest/pictures.sh"

# start CASE 'STEPS' OPTION...: a worker with the options, and a guest that takes the steps.
start() {
	case=$1 steps=$2
	shift 2
	case $* in *=frontend*) shown_by=qemu ;; *) shown_by=worker ;; esac
	guest_device worker --stats "$@"
	cat >"$work/job/run.sh" <<-EOT
		echo 'this is the console' >/dev/tty0
		echo 'guest: look console'; read -r answer </dev/ttyS0
		# The device is reset, and starts afresh.
		cd /sys/bus/virtio/drivers/virtio_gpu; d=\$(echo virtio*)
		echo "\$d" >unbind; echo "\$d" >bind; cd /run/job
		[ "\$(dmesg | grep -c 'Initialized virtio_gpu')" = 2 ] || exit
		dmesg | grep features:
		pixels -w /dev/ttyS0 $steps || exit
		dmesg | grep -E '\\*ERROR\\*|virtio.gpu.*(response|timed out)' && exit 1
		exit 0
	EOT
	say "$case: booting the guest"
	guest_start
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

headless="--display=headless --mode=1024x768 --png-dir=$work"

# shellcheck disable=SC2086 # $headless is a list
case_virgl() {
	start virgl 'dumb flip dirty cursor moved gl texture' --renderer=virgl $headless
	look_2d
	look_cursor
	# The cursor is still there, at the upper left.
	look_gl
	check "the guest renders with virgl" grep -a 'guest: renderer.*virgl' "$work/console"
	finish
}

case_frontend() {
	start frontend 'dumb flip dirty cursor moved gl texture' --renderer=virgl --display=frontend
	look_2d
	# QEMU's pictures are without the cursor, which it draws itself.
	look cursor 200,150=2010c0 101,53=00ff80
	look moved 0,0=2010c0 101,53=00ff80
	look_gl
	finish
}

# shellcheck disable=SC2086
case_soft() {
	start soft 'dumb flip dirty cursor moved' --renderer=soft $headless
	look_2d
	look_cursor
	finish
}

all_features() {
	qemu=$("$here/qemu.sh" forky)
	vhost_device="vhost-user-test-device-pci,virtio-id=16,num_vqs=2,vq_size=256,config_size=16"
}

# shellcheck disable=SC2086
case_blob() {
	all_features
	start blob 'dumb flip dirty cursor moved' --renderer=soft $headless
	look_2d
	look_cursor
	check "the guest's driver has blobs" grep -a 'features:.*+resource_blob' "$work/console"
	finish
}

# shellcheck disable=SC2086
case_context() {
	all_features
	start context 'dumb flip dirty cursor moved gl texture' --renderer=virgl $headless
	look_2d
	look_cursor
	look_gl
	check "the guest's driver has CONTEXT_INIT" grep -a 'features: +context_init' "$work/console"
	finish
}

build_programs
[ $# -gt 0 ] || set -- virgl frontend soft
for c; do
	"case_$c"
done
say "with ${worker##*build/}: $passed passed, $failed failed"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
