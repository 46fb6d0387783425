#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: boot.sh [option...] [SCENARIO]
# Boots QEMU (TCG) -> Xen -> dom0. With a scenario, dom0 sources it and powers off; without, dom0
# gives a shell on this terminal (Ctrl-A three times: Xen's own console).
#   -d DIR        what this run leaves: console.log, out/ (dom0's /share/out); default build/xen/run
#   -x OPTIONS    Xen's access control; default "xsm=flask flask=enforcing"
#   -k XEN        the hypervisor; default that of build-xen.sh
#   -p POLICY     FLASK policy; default that of build-flask.sh, where flask is among the options
#   -a FILE       add a file or a folder to what all domains see as /share; repeatable
#   -e VAR=VALUE  set a variable for the scenario; repeatable
#   -t SECONDS    limit; default 300
#   -q            show only what the scenario says, not the whole console
. "$(dirname -- "$0")/env.sh"
exec 9>&-

nl='
'
dir=$top/build/xen/run xsm='xsm=flask flask=enforcing' policy=$tb/gpudom-policy.bin
vars='' limit=300 xen=$tb/xen quiet='' mem=${MEM:-3072} cpus=${CPUS:-2}
add=$tb/add.$$
mkdir "$add"
trap 'rm -rf "$add"' EXIT
while getopts d:x:k:p:a:e:t:q o; do
	case $o in
	d) dir=$OPTARG ;;
	x) xsm=$OPTARG ;;
	k) xen=$OPTARG ;;
	p) policy=$OPTARG ;;
	a) cp -r "$OPTARG" "$add/" ;;
	e) vars="$vars${OPTARG%%=*}='${OPTARG#*=}'$nl" ;;
	t) limit=$OPTARG ;;
	q) quiet=1 ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
case $xsm in *flask*) ;; *) policy= ;; esac
need_packages qemu-system-arm ipxe-qemu device-tree-compiler

# dom0's /share, by 9p. What domUs see as /share is a tar archive of it, attached as a disk.
share=$dir/share
rm -rf "$dir"
mkdir -p "$share/out"
cp "$here"/share/* "$share/"
for n in gpudom guest; do
	# Later settings win: ours for the test bed after the example's.
	cat "$top/configs/xl/$n.cfg" "$here/share/$n.cfg" >"$share/$n.cfg"
done
cp "$top"/configs/xl/gpudom-[nu]* "$here"/../guest/*.sh "$share/"
mkdir "$share/configs"
cp -r "$top"/configs/sysusers.d "$top"/configs/tmpfiles.d "$top"/configs/udev "$share/configs/"
mv "$add"/* "$share/" 2>/dev/null || :
[ -z "${1:-}" ] || { printf '%s' "$vars" && cat "$1"; } >"$share/scenario.sh"
tar -cf "$share/domu.tar" -C "$share" --exclude=./out --exclude=./domu.tar .
truncate -s %4096 "$share/domu.tar"
ln "$tb/Image" "$share/Image" 2>/dev/null || cp "$tb/Image" "$share/Image"

set -- qemu-system-aarch64 \
	-machine virt,virtualization=on,gic-version=3 -cpu cortex-a57 \
	-accel "tcg,thread=${TCG_THREAD:-multi},tb-size=512" -smp "$cpus" -m "$mem" \
	-display none -monitor none -serial stdio -no-reboot -nic none \
	-global virtio-mmio.force-legacy=false \
	-drive "if=none,id=root,format=raw,readonly=on,file=$tb/root.sqfs" \
	-device virtio-blk-device,drive=root \
	-fsdev "local,id=share,path=$share,security_model=none" \
	-device virtio-9p-device,fsdev=share,mount_tag=share

# Xen's modules (kernel, policy) are nodes under /chosen of the device tree that QEMU makes.
dtb=$dir/virt.dtb
module() { # ADDRESS FILE COMPATIBLE BOOTARGS
	node=/chosen/module@$(printf %x "$1")
	fdtput -p -t s "$dtb" "$node" compatible "$3" multiboot,module
	fdtput -t x "$dtb" "$node" reg 0 "$(printf %x "$1")" 0 "$(printf %x "$(stat -c %s "$2")")"
	[ -z "$4" ] || fdtput -t s "$dtb" "$node" bootargs "$4"
}
"$@" -machine dumpdtb="$dtb" >/dev/null 2>&1
fdtput -t x "$dtb" /chosen '#address-cells' 2
fdtput -t x "$dtb" /chosen '#size-cells' 2
fdtput -t s "$dtb" /chosen xen,xen-bootargs \
	"console=dtuart dtuart=/pl011@9000000 conring_size=4m dom0_mem=${DOM0_MEM:-768M} dom0_max_vcpus=$cpus loglvl=all guest_loglvl=all credit2_runqueue=cpu $xsm ${XEN_ARGS:-}"
module 0x50000000 "$tb/Image" multiboot,kernel \
	"console=hvc0 root=/dev/vda ro rootfstype=squashfs init=/init role=dom0 quiet ${DOM0_ARGS:-}"
set -- "$@" -device loader,file="$tb/Image",addr=0x50000000,force-raw=on
if [ -n "$policy" ]; then
	module 0x58000000 "$policy" xen,xsm-policy ''
	set -- "$@" -device loader,file="$policy",addr=0x58000000,force-raw=on
fi
set -- "$@" -kernel "$xen" -dtb "$dtb"

rm -rf "$add"
trap - EXIT
# An emulated CPU that is preempted while it holds one of Xen's locks, or is next in its line, lets the other one
# spin for it (WFE does nothing here): beside other work all domains nearly stop, for half a minute at a time, and once
# a CPU of dom0 got no timer interrupts any more ("Possible timer handling issue on cpu=1"): what sleeps there, sleeps
# for ever. Where we may, we come first; and each CPU has a run queue of its own, whose lock is the one in most demand. One thread for all CPUs (TCG_THREAD=single) is no way out: Xen's loops do not yield.
{ renice -n -10 -p $$ && echo -10 >/proc/self/autogroup; } >/dev/null 2>&1 || :
if [ ! -e "$share/scenario.sh" ]; then
	exec "$@"
fi
# Each line gets the seconds since QEMU started. What a scenario says begins with "@ ".
timeout "$limit" "$@" </dev/null 2>&1 |
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
			print s/^\@ // ? sprintf("  xen %6.1f  %s", time - $t, $_) : $quiet ? "" : $line;
		}' "$dir/console.log" "$quiet"
rm -f "$share/Image" "$share/domu.tar"
mv "$share/out" "$dir/out"
# The scenario's last act, just before the power goes off.
grep -q 'scenario ended$' "$dir/console.log" ||
	die "the scenario did not end within $limit s: see $dir/console.log"
