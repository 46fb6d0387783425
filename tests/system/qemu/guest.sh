# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Boots the QEMU guest of image.sh ($image) in a QEMU ($qemu) on one of several virtio-gpu devices;
# sourced by demo.sh, test.sh and bench.sh after lib.sh. Uses a scratch folder $work, removed at
# exit (kept where GPUDOM_KEEP is set).
#
#   guest_device worker|inprocess|contrib [gpudom-worker option...]
#   guest_start                                 $work/job/run.sh is what the guest runs
#   guest_wait TEXT [SECONDS]                   until the serial console has said TEXT
#   guest_answer                                ends a guest program's wait for its console
#   guest_screendump FILE                       QEMU's display
#   guest_finish                                until it has powered off
#
# What the guest says lies in $work/console; a device's messages in $work/device.log.

# shellcheck disable=SC2154 # image, qemu, cache, here: the caller's
work=$(mktemp -d "${TMPDIR:-/tmp}/gpudom.XXXXXX")
mkdir "$work/job"
worker=${GPUDOM_WORKER:-$here/../../../build/release/gpudom-worker}
guest_limit=${GUEST_LIMIT:-180}
guest_memory=1G
# What QEMU shows of a vhost-user back end. vhost-user-gpu-pci (10.0) hides blobs and CONTEXT_INIT.
vhost_device="vhost-user-gpu-pci,xres=1024,yres=768"
qemu_pid='' device_pid='' monitor_pid='' device_args='' qemu_env=''

guest_cleanup() {
	for pid in $qemu_pid $device_pid $monitor_pid; do kill "$pid" 2>/dev/null || :; done
	if [ -n "${GPUDOM_KEEP-}" ]; then say "kept $work"; else rm -rf "$work"; fi
}
trap guest_cleanup EXIT
trap 'exit 130' INT TERM

# guest_fail TEXT: says what happened with the evidence at hand, and ends the script.
guest_fail() {
	for pid in $qemu_pid $device_pid; do
		kill -0 "$pid" 2>/dev/null && continue
		r=0
		wait "$pid" || r=$?
		say "$([ "$pid" = "$qemu_pid" ] && echo QEMU || echo "the device") has ended with status $r"
	done
	say "the last lines of the guest's console:"
	tail -n 15 "$work/console" >&2 || :
	for f in device qemu; do
		[ ! -s "$work/$f.log" ] || {
			say "and of $f.log:"
			tail -n 15 "$work/$f.log" >&2
		}
	done
	die "$*"
}

# wait_for SECONDS COMMAND...: until the command succeeds; false after so many seconds, or as
# soon as QEMU or the device is gone.
wait_for() ( # a subshell, as the command may wait for something itself
	end=$(($(date +%s) + $1))
	shift
	until "$@"; do
		[ "$(date +%s)" -lt "$end" ] || exit 1
		for pid in $qemu_pid $device_pid; do
			kill -0 "$pid" 2>/dev/null && continue
			"$@"
			exit
		done
		sleep 0.1
	done
)

# kvm_works: true where this user can run this guest with KVM. The device node can be there and
# the guest still hang, or QEMU fail, half-way into the kernel; so the real kernel has to reach its
# init within 15 seconds. The answer is remembered until the next boot.
# shellcheck disable=SC2154 # the caller's
kvm_works() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || return 1
	k=$cache/kvm-$(stamp_of "$(id -u)" "$qemu" "$image/stamp" /proc/sys/kernel/random/boot_id)
	if [ ! -s "$k" ]; then
		say "does KVM work here? Booting the guest's kernel to see"
		find "$cache" -maxdepth 1 -name 'kvm-*' -mtime +7 -exec rm -f {} +
		timeout -s KILL 15 "$qemu" -nodefaults -no-user-config -no-reboot -M q35 -accel kvm -cpu host \
			-smp 2 -m 512M -display none -serial stdio -kernel "$image/vmlinux" \
			-initrd "$image/initrd" -append "console=ttyS0 quiet" >"$work/kvm" 2>&1 </dev/null || :
		if grep -aq '^guest: kernel started' "$work/kvm"; then
			say "it does"
			echo yes >"$k"
		else
			say "it does not; emulating instead"
			echo no >"$k"
		fi
	fi
	[ "$(cat "$k")" = yes ]
}

guest_device() {
	kind=$1
	shift
	s=$work/vhost.sock
	rm -f "$s" "$work"/*.log
	: >"$work/console"
	device_pid='' qemu_env=''
	# Mesas of two versions truncate each other's index of cached shaders: a SIGBUS for whoever has
	# it mapped. What runs with the libraries beside QEMU gets its own.
	mesa=${qemu%/*}
	[ "$kind" != worker ] || [ -n "${worker_runner-}" ] || mesa=host
	export MESA_SHADER_CACHE_DIR="$cache/mesa-${mesa##*/}"
	# The worker keeps none by default, QEMU does: the same for both.
	export MESA_SHADER_CACHE_DISABLE=false
	software='LIBGL_ALWAYS_SOFTWARE=1 GBM_ALWAYS_SOFTWARE=1'
	[ ! -e /dev/dri/renderD128 ] || software=
	node=/dev/null
	[ ! -e /dev/dri/renderD128 ] || node=/dev/dri/renderD128
	vhost="-object memory-backend-memfd,id=mem,size=$guest_memory,share=on
		-machine memory-backend=mem -chardev socket,id=gpu,path=$s
		-device $vhost_device,chardev=gpu"
	case $kind in
	worker)
		[ -x "$worker" ] || die "no $worker: run 'make' first"
		${worker_runner-} "$worker" --socket-path="$s" "$@" >"$work/device.log" 2>&1 &
		device_args="$vhost -display none"
		;;
	contrib)
		# shellcheck disable=SC2086 # a list of settings
		env $software ${CONTRIB_ENV-} "${qemu%/*}/run" "${qemu%/*}/root/usr/lib/qemu/vhost-user-gpu" \
			-s "$s" --virgl --render-node=$node >"$work/device.log" 2>&1 &
		device_args="$vhost -display egl-headless,rendernode=$node"
		qemu_env=$software
		;;
	inprocess)
		device_args="-device virtio-gpu-gl-pci,xres=1024,yres=768
			-display egl-headless,rendernode=$node"
		qemu_env=$software
		return
		;;
	*) die "no device '$kind'" ;;
	esac
	device_pid=$!
	wait_for 10 test -S "$s" || guest_fail "the $kind device did not open its socket"
}

# The guest's files travel in a second initramfs behind the first: no size limit, no disk.
guest_start() {
	(cd "$work" && find job | cpio -o -H newc --quiet -R 0:0) >"$work/job.cpio"
	# Each archive of an initramfs starts at a multiple of four bytes.
	{
		cat "$image/initrd"
		head -c $((3 - ($(stat -c %s "$image/initrd") + 3) % 4)) /dev/zero
		cat "$work/job.cpio"
	} >"$work/initrd"
	rm -f "$work/stdin" "$work/monitor.in" "$work/monitor.out"
	mkfifo "$work/stdin" "$work/monitor.in" "$work/monitor.out"
	cat "$work/monitor.out" >"$work/monitor.log" &
	monitor_pid=$!
	if kvm_works "$qemu"; then
		accel='-accel kvm -cpu host'
	else
		accel='-accel tcg,thread=multi -cpu max,la57=off'
	fi
	# shellcheck disable=SC2086 # lists of options
	env $qemu_env "$qemu" -nodefaults -no-user-config -no-reboot -M q35 $accel -smp 2 \
		-m $guest_memory -kernel "$image/vmlinux" -initrd "$work/initrd" \
		-append "console=ttyS0 quiet loglevel=4 mitigations=off tsc=reliable nokaslr" \
		-drive "file=$image/root.sqfs,if=none,id=root,format=raw,readonly=on" \
		-device virtio-blk-pci,drive=root -serial stdio \
		-chardev "pipe,id=monitor,path=$work/monitor" -mon chardev=monitor,mode=control $device_args \
		<"$work/stdin" >"$work/console" 2>"$work/qemu.log" &
	qemu_pid=$!
	exec 3>"$work/stdin" 4<>"$work/monitor.in"
	echo '{"execute": "qmp_capabilities"}' >&4
}

guest_said() { grep -aqF "$1" "$work/console"; }
guest_wait() { wait_for "${2:-$guest_limit}" guest_said "$1" || guest_fail "no '$1' from the guest"; }
guest_answer() { echo >&3; }

guest_gone() { ! kill -0 "$qemu_pid" 2>/dev/null; }
guest_finish() {
	# From here on a device may go before QEMU does.
	d=$device_pid device_pid=''
	wait_for "$guest_limit" guest_gone || guest_fail "the guest did not power off"
	device_pid=$d
	r=0
	wait "$qemu_pid" || r=$?
	qemu_pid='' monitor_pid=''
	exec 3>&- 4>&-
	[ "$r" -eq 0 ] || guest_fail "QEMU ended with status $r"
	guest_said 'guest: exit status 0' || guest_fail "the guest's program failed"
}

# guest_screendump FILE: what QEMU's own display shows, as a PNG.
guest_screendump() {
	echo '{"execute": "screendump", "arguments": {"filename": "'"$1"'", "format": "png"}}' >&4
	wait_for 5 test -s "$1"
}
