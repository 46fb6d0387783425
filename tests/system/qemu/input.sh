#!/bin/sh
# SPDX-License-Identifier: MIT
# System test: a stock Linux guest under QEMU with gpudom-worker's input devices
# (vhost-user-input-pci) and a seat that the script plays. The guest's evdev devices are looked at,
# keys, motions, touches and a pen arrive there, an LED comes back; what is held when a worker ends
# comes up. With ROUNDS it measures how long so many keys take to the guest and an answer back over
# a serial line, by turns with QEMU's own virtio-keyboard-pci in the same guest.
# usage: [GPUDOM_WORKER=PROGRAM] [ROUNDS=N] input.sh
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
case ${1-} in -h | --help) sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;; esac

need_packages gcc pkg-config libjson-c-dev cpio
image=$("$here/image.sh")
qemu=$("$here/qemu.sh" trixie)
# shellcheck source=guest.sh
. "$here/guest.sh"
kinds="keyboard mouse pointer touch tablet switch"
passed=0 failed=0

check() { # TEXT COMMAND...
	t=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		echo "ok $((passed + failed)) - $t"
	else
		failed=$((failed + 1))
		echo "not ok $((passed + failed)) - $t"
	fi
}

root=$here/../../..
# shellcheck disable=SC2046 # lists of flags
{
	${CC:-gcc} -O2 -std=gnu11 -D_GNU_SOURCE -Wall -o "$work/job/evdev" "$here/../guest/evdev.c"
	${CC:-gcc} -O2 -std=gnu11 -D_GNU_SOURCE -Wall -iquote "$root" $(pkg-config --cflags json-c) \
		-o "$work/input_seat" "$here/input_seat.c" "$root/backend/seat_message.c" \
		$(pkg-config --libs json-c)
} || die "the programs do not compile"

seat_says() { grep -qxF "$1" "$work/seat.log"; }
seat_begins() { grep -q "^$1" "$work/seat.log"; }
send() { echo "send $*" >&5; }
# arrives TEXT DEVICE TYPE CODE VALUE: the guest has read it
arrives() {
	t=$1
	shift
	check "$t" wait_for 20 guest_said "evdev: gpudom $*"
}

mkfifo "$work/seat.in"
"$work/input_seat" "$work/seat" <"$work/seat.in" >"$work/seat.log" 2>&1 &
monitor_pid2=$!
exec 5>"$work/seat.in"
wait_for 10 test -S "$work/seat" || die "no seat: $(cat "$work/seat.log")"

vhost="-object memory-backend-memfd,id=mem,size=$guest_memory,share=on -machine memory-backend=mem"
for kind in $kinds; do
	"$worker" --device="$kind" --guest=demo --seat="$work/seat" --socket-path="$work/$kind.sock" \
		>>"$work/device.log" 2>&1 &
	device_pid="$device_pid $!"
	eval "${kind}_pid=$!"
	wait_for 10 test -S "$work/$kind.sock" || guest_fail "no worker for the $kind"
	vhost="$vhost -chardev socket,id=$kind,path=$work/$kind.sock
		-device vhost-user-input-pci,chardev=$kind"
done
qemu_env=''
# A second serial line for answers; QEMU's own keyboard; a second monitor to press its keys
device_args="$vhost -display none -machine i8042=off -device virtio-keyboard-pci
	-chardev socket,id=echo,path=$work/echo,server=on,wait=off -device isa-serial,chardev=echo
	-qmp unix:$work/qmp,server=on,wait=off"
echo 'evdev /dev/ttyS1 || exit; exit 0' >"$work/job/run.sh"
say "booting the guest"
guest_start
guest_wait "evdev: ready"
cat "$work/console" | tr -d '\r' | sed -n 's/^evdev: device /    /p'

for kind in $kinds; do
	check "the guest has a gpudom $kind" guest_said "evdev: device gpudom $kind keys="
done
check "the touch screen has 16 slots and is direct" guest_said "props=0x2 slots=16"
send keyboard 1 30 1
arrives "a key goes down" keyboard 1 30 1
send keyboard 1 30 0
arrives "... and up" keyboard 1 30 0
send mouse 2 0 -7 2 1 9
arrives "a mouse moves" mouse 2 0 -7
arrives "... both ways" mouse 2 1 9
send pointer 3 0 16000 3 1 12000 1 272 1
arrives "a pointer is somewhere" pointer 3 0 16000
arrives "... and clicks" pointer 1 272 1
send touch 3 47 3 3 57 5 3 53 100 3 54 200 1 330 1
arrives "a finger touches" touch 3 57 5
arrives "... there" touch 3 54 200
send tablet 1 320 1 3 0 5 3 26 -30 3 24 4000
arrives "a pen tilts" tablet 3 26 -30
send switch 5 0 1
arrives "the lid closes" switch 5 0 1
send keyboard 1 184 1
check "Caps Lock's LED comes back" wait_for 20 seat_says "status keyboard 17 1 1"
send keyboard 1 184 0

# The peer's keyboard can lose keys; that is not our failure.
rounds=${ROUNDS:-0}
turns=
[ "$rounds" -eq 0 ] || turns='seat qemu seat qemu'
for whose in $turns; do
	echo "measure $whose $work/echo $work/qmp $rounds" >&5
	n=$(grep -c "^latency $whose" "$work/seat.log" || :)
	measured() { [ "$(grep -c "^latency $whose" "$work/seat.log")" -gt "$n" ]; }
	if [ $whose = seat ]; then
		check "$rounds keys of the seat's are answered" wait_for 120 measured
	else
		wait_for 120 measured || say "QEMU's own keyboard has lost some of $rounds keys"
	fi
done
sed -n 's/^latency \([a-z]*\) \([0-9]*\) \(.*\)/    \1, \2 keys: p50 p99 max us \3/p' "$work/seat.log"

send keyboard 1 31 1
arrives "a key goes down" keyboard 1 31 1
kill -9 "$monitor_pid2"
arrives "the seat is killed: the key comes up" keyboard 1 31 0
check "nothing was refused" sh -c "! grep -q refuse '$work/device.log'"
echo '{"execute": "quit"}' >&4
say "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
