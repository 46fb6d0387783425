#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: vm.sh [option...] SCRIPT [ARGUMENT...] | -c COMMAND
# Boots the test bed's arm64 kernel and root file system in QEMU (TCG), without Xen, for
# gpudom-seat: vkms (overlays, cursor, writeback), a virtio-gpu whose two screens this machine sees
# and plugs, uinput, and udevd. Runs the script there (busybox sh, with share/vm.sh's functions) and
# ends with it; without one, gives a shell on the terminal. About 10 seconds until the script runs.
#   -a FILE       add a file or a folder to what is /share there; repeatable. build/arm64/bin is /share/bin
#   -d DIR        what this run leaves: console.log, kernel.log, out/ (/share/out there);
#                 default build/seat/NAME of the script
#   -e VAR=VALUE  set a variable for the script; repeatable
#   -k OPTIONS    more for the kernel's command line
#   -n SCREENS    of the virtio-gpu; default 2, of which the first one is plugged in
#   -t SECONDS    limit; default 300
#   -q            show only what the script says by say and check
# Several may run at once. Fails if the script does, or says NOT OK.
. "$(dirname -- "$0")/env.sh"
exec 9>&-

nl='
'
dir='' vars='' kernel='' screens=2 limit=300 quiet='' command=''
add=$(mktemp -d)
cleanup() {
	for p in ${bus_pid:-} ${host_pid:-}; do kill "$p" 2>/dev/null || :; done
	rm -rf "$add"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
while getopts a:d:e:k:n:t:qc: o; do
	case $o in
	a) cp -r "$OPTARG" "$add/" ;;
	d) dir=$OPTARG ;;
	e) vars="$vars${OPTARG%%=*}='${OPTARG#*=}'$nl" ;;
	k) kernel=$OPTARG ;;
	n) screens=$OPTARG ;;
	t) limit=$OPTARG ;;
	q) quiet=1 ;;
	c) command=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
if [ ! -e "$tb/Image" ] || [ ! -e "$tb/root.sqfs" ]; then
	"$here/../xen/build-rootfs.sh"
	"$here/../xen/build-kernel.sh"
fi
need_packages qemu-system-arm ipxe-qemu dbus-daemon dbus-bin

script=${1:-}
name=${script##*/}
name=${name%.sh}
dir=${dir:-$top/build/seat/${name:-shell}}
share=$dir/share
rm -rf "$dir"
mkdir -p "$share/out"
cp "$here"/share/* "$here/../xen/share/functions.sh" "$share/"
[ ! -d "$top/build/arm64/bin" ] || cp -r "$top/build/arm64/bin" "$share/"
cp -r "$add"/. "$share/"
if [ -n "$script$command" ]; then
	quoted=''
	[ -z "$script" ] || {
		shift
		for w; do quoted="$quoted '$(printf '%s' "$w" | sed "s/'/'\\\\''/g")'"; done
	}
	{
		printf '%sset --%s\n' "$vars" "$quoted"
		if [ -n "$script" ]; then cat "$script"; else printf '%s\n' "$command"; fi
	} >"$share/run.sh"
fi

# The virtio-gpu's screens are plugged in and out by QEMU's D-Bus display: what a window's size, or its
# end, is to other displays.
bus=unix:path=$add/bus
dbus-daemon --session --nofork --nosyslog --nopidfile --address="$bus" 2>"$dir/dbus.log" 9>&- &
bus_pid=$!
until [ -S "$add/bus" ]; do sleep 0.05; done

# Requests of the script (share/vm.sh's host) come by one pipe; QEMU is told by another.
mkfifo "$add/host.in" "$add/host.out" "$add/qmp.in" "$add/qmp.out"
qmp() { # COMMAND ARGUMENTS
	echo "{\"execute\": \"$1\", \"arguments\": {$2}}" >&5
	while read -r line <&6; do
		case $line in
		*'"return"'*) echo ok && return ;;
		*'"error"'*) echo "${line##*\"desc\": }" && return 1 ;;
		esac
	done
}
plug() { # SCREEN WIDTH HEIGHT
	dbus-send --bus="$bus" --dest=org.qemu --print-reply=literal "/org/qemu/Display1/Console_$1" \
		org.qemu.Display1.Console.SetUIInfo uint16:0 uint16:0 int32:0 int32:0 "uint32:$2" "uint32:$3" \
		2>&1 && echo ok
}
serve() {
	exec 5<>"$add/qmp.in" 6<>"$add/qmp.out" 7<>"$add/host.in" 8<>"$add/host.out"
	qmp qmp_capabilities '' >/dev/null
	while read -r verb a b c <&8; do
		case $verb in
		dump) qmp screendump "\"filename\": \"$share/out/$b\", \"format\": \"png\", \"device\": \"gpu\", \"head\": $a" || : ;;
		plug) plug "$a" "$b" "$c" || : ;;
		unplug) plug "$a" 0 0 || : ;;
		qmp) qmp "$a" "$b $c" || : ;;
		*) echo "no request '$verb'" ;;
		esac | tail -n 1 >&7
	done
}
serve &
host_pid=$!

set -- qemu-system-aarch64 -machine virt,gic-version=3 -cpu cortex-a57 \
	-accel tcg,thread=multi,tb-size=256 -smp 2 -m 1G -nodefaults -no-user-config -no-reboot \
	-display "dbus,addr=$bus" -global virtio-mmio.force-legacy=false \
	-kernel "$tb/Image" -append "console=ttyAMA0 root=/dev/vda ro rootfstype=squashfs init=/init \
role=vm quiet vkms.enable_overlay=1 vkms.enable_cursor=1 vkms.enable_writeback=1 $kernel" \
	-drive "if=none,id=root,format=raw,readonly=on,file=$tb/root.sqfs" \
	-device virtio-blk-device,drive=root \
	-fsdev "local,id=share,path=$share,security_model=none" \
	-device virtio-9p-device,fsdev=share,mount_tag=share \
	-device "virtio-gpu-pci,id=gpu,max_outputs=$screens,xres=1024,yres=768" \
	-serial "file:$dir/kernel.log" -device virtio-serial-pci \
	-chardev stdio,id=console,signal=off -device virtconsole,chardev=console \
	-chardev "pipe,id=host,path=$add/host" -device virtserialport,chardev=host,name=host \
	-chardev "pipe,id=qmp,path=$add/qmp" -mon chardev=qmp,mode=control
if [ ! -e "$share/run.sh" ]; then
	"$@"
	exit
fi
# Each line gets the seconds since the start. Short runs go first, where root may say so.
# shellcheck disable=SC2016 # expanded by the inner shell
timeout "$limit" setsid sh -c 'echo -5 >/proc/self/autogroup; exec "$@"' - "$@" </dev/null 2>&1 |
	perl -MTime::HiRes=time -e '
		my ($file, $quiet) = @ARGV;
		$| = 1;
		open(my $log, ">", $file) or die "$file: $!\n";
		$log->autoflush(1);
		my $t = time;
		while (<STDIN>) {
			s/\r//g;
			my $line = sprintf("%6.1f  %s", time - $t, $_);
			print $log $line;
			print s/^\@ // ? sprintf("  vm %6.1f  %s", time - $t, $_) : $quiet ? "" : $line;
		}' "$dir/console.log" "$quiet"
rm -rf "${share:?}/bin"
mv "$share/out" "$dir/out"
! grep -a 'Kernel panic\|BUG:\|Oops' "$dir/kernel.log" || die "the kernel has crashed: see $dir/kernel.log"
grep -q '^ *[0-9.]*  script ended with 0$' "$dir/console.log" ||
	die "the script failed, or did not end within $limit s: see $dir/console.log"
! grep -q ' @ NOT OK: ' "$dir/console.log"
