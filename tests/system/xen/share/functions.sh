# SPDX-License-Identifier: MIT
# Helpers for scenarios; sourced in dom0 (busybox ash).

# say TEXT...: to whoever started boot.sh; everything else goes to console.log only.
say() { echo "@ $*"; }

up() { cut -d' ' -f1 /proc/uptime; }
# since T0: seconds from up's earlier answer to now.
since() { echo "$(up) $1" | awk '{ printf "%.1f", $1 - $2 }'; }

# domid NAME
domid() { xl domid "$1" 2>/dev/null; }

# prepare: the disks that domUs get: what they see as /share (read-only), and a scratch disk
# through which gpudom hands pictures back (picture).
prepare() {
	losetup -r /dev/loop0 /share/domu.tar
	truncate -s 32M /tmp/scratch.img
	losetup /dev/loop1 /tmp/scratch.img
}

# start [-p] NAME [key=value...]: xl create (-p: paused) with NAME.cfg.
start() {
	p=
	[ "$1" != -p ] || {
		p=-p
		shift
	}
	n=$1
	shift
	t0=$(up)
	xl create -q $p "/share/$n.cfg" "$@" || {
		say "xl create $n failed"
		return 1
	}
	say "$n created${p:+ (paused)} in $(since "$t0") s"
}

# wait_until SECONDS COMMAND...: until the command succeeds; 1 when time is up.
wait_until() {
	limit=$(($(cut -d. -f1 /proc/uptime) + $1))
	shift
	until "$@" 2>/dev/null; do
		[ "$(cut -d. -f1 /proc/uptime)" -le $limit ] || return 1
		sleep 0.2
	done
}
# booted NAME: its user space is there.
booted() { xenstore-exists "/local/domain/$(domid "$1")/data/up"; }
# logged NAME PATTERN: whether the domain's console has shown it.
logged() { grep -q -- "$2" "/share/out/guest-$1.log"; }

# type_to NAME LINE: on the domain's console, where its shell (domu.sh) or a program reads it.
type_to() { printf '%s\n' "$2" >"$(xenstore-read "/local/domain/$(domid "$1")/console/tty")"; }

# run_in NAME SECONDS COMMAND: run a line in the domain's shell. Its output goes to
# /tmp/NAME.out; returns its status, 124 when time is up.
# begin_in NAME COMMAND, end_in NAME SECONDS: the same in two parts.
serial=0
begin_in() {
	serial=$((serial + 1))
	wc -c <"/share/out/guest-$1.log" >"/tmp/$1.from"
	echo $serial >"/tmp/$1.serial"
	type_to "$1" "{ $2 ; } </dev/null; echo \"@done-$serial \$?\""
}
end_in() {
	done="@done-$(cat "/tmp/$1.serial")"
	wait_until "$2" logged "$1" "$done [0-9]" || {
		say "no end of its command from $1 within $2 s"
		return 124
	}
	tail -c "+$(($(cat "/tmp/$1.from") + 1))" "/share/out/guest-$1.log" | tr -d '\r' >"/tmp/$1.out"
	r=$(sed -n "s/.*$done \([0-9]*\).*/\1/p" "/tmp/$1.out" | tail -n 1)
	sed -i "/$done [0-9]/d" "/tmp/$1.out"
	return "${r:-1}"
}
run_in() {
	begin_in "$1" "$3"
	end_in "$1" "$2"
}

# picture FILE: what gpudom shows on the guest's first output, as a PNG.
picture() {
	run_in gpudom 30 /share/gpudom-picture || {
		cat /tmp/gpudom.out
		return 1
	}
	# Not by dom0's view of the block device, which may be stale.
	tar -xmf /tmp/scratch.img -C /tmp && mv /tmp/scanout-0.png "$1"
}

# The xenstore directory of a guest's GPU on gpudom's side, its state, whether it is served.
backend() { echo "/local/domain/$(domid gpudom)/backend/virtio/$(domid "${1:-guest}")/0"; }
served() { [ "$(xenstore-read "$(backend "$1")/state")" = 4 ]; }

# gpudom_log: gpudomd's log and its workers', into /share/out/gpudomd.log.
gpudom_log() { run_in gpudom 10 'cat /run/gpudom/log' && cp /tmp/gpudom.out /share/out/gpudomd.log; }

# avc: what FLASK has refused since the boot.
avc() { xl dmesg | grep 'avc: *denied'; }

# check TEXT COMMAND...: one result of a test. not_ok prints what may tell why.
ok() { say "ok: $*"; }
not_ok() { say "NOT OK: $*"; }
check() {
	text=$1
	shift
	if "$@"; then ok "$text"; else not_ok "$text"; fi
}
