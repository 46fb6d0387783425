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
# through which gpudom hands pictures back (picture). dom0 comes first.
prepare() {
	losetup -r /dev/loop0 /share/domu.tar
	truncate -s 32M /tmp/scratch.img
	losetup /dev/loop1 /tmp/scratch.img
	# Busy guests must not keep the test from looking.
	xl sched-credit2 -d Domain-0 -w 4096
}

# start [-p] NAME [key=value...]: xl create (-p: paused) with NAME.cfg; where there is none, a guest of
# that name.
start() {
	p=
	[ "$1" != -p ] || {
		p=-p
		shift
	}
	n=$1
	shift
	c=/share/$n.cfg t0=$(up)
	[ -e "$c" ] || c=/share/guest.cfg
	xl create -q $p $c "name=\"$n\"" "$@" || {
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
		sleep 0.4
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
begin_in() {
	# Also in a subshell, no two commands may have the same number.
	serial=$(($(cat /tmp/serial 2>/dev/null || echo 0) + 1))
	echo $serial >/tmp/serial
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

# picture FILE [NAME]: what gpudom shows on the first output of the guest, as a PNG. Without a name: of the first
# that gpudomd serves.
picture() {
	run_in gpudom 60 "/share/gpudom-picture ${2:-}" || {
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
gpudom_log() { run_in gpudom 60 'cat /run/gpudom/log' && cp /tmp/gpudom.out /share/out/gpudomd.log; }

# xen_log: all that Xen has said so far. xen_key KEY: what it prints for a debug key.
xen_log() {
	xl dmesg -c >>/tmp/xen.log
	cat /tmp/xen.log
}
xen_key() {
	xen_log >/dev/null
	xl debug-keys "$1"
	xl dmesg -c | tee -a /tmp/keys.log
}
# avc: what FLASK has refused since the boot.
avc() { xen_log | grep 'avc: *denied'; }

# check TEXT COMMAND...: one result of a test. not_ok prints what may tell why.
ok() { say "ok: $*"; }
not_ok() { say "NOT OK: $*"; }
check() {
	text=$1
	shift
	if "$@"; then ok "$text"; else not_ok "$text"; fi
}

# counts FILE: what gpudom and the guests hold of Xen and of Linux, a line each.
counts() {
	d=$(domid gpudom)
	{
		echo "domains: $(xl list | wc -l)"
		xen_key g | awk -v d="$d" '$2 ~ /^\[0x/ && $3 == d { n++ }
			END { print "grants of guests that gpudom has mapped: " n + 0 }'
		xen_key e | awk -v d="$d" '/channel information for domain/ { at = $NF + 0 }
			$3 ~ /^\[[01]\/[01]\// { n[at]++ }
			END { print "event channels of dom0: " n[0] + 0; print "event channels of gpudom: " n[d] + 0 }'
		run_in gpudom 20 /share/gpudom-counts
		cat /tmp/gpudom.out
		# Identifiers may change, but not how many there are.
		xenstore-ls -f | sed 's/ = .*//; s/[0-9a-f]\{8\}-[0-9a-f-]*/UUID/' >"$1.xenstore"
		echo "xenstore nodes: $(wc -l <"$1.xenstore")"
	} >"$1"
}
# same FILE FILE: short ones; there is neither cmp nor diff.
same() { [ "$(cat "$1")" = "$(cat "$2")" ]; }
# same_counts FILE FILE: says what differs.
same_counts() {
	same "$1" "$2" && return
	grep -vxFf "$2" "$1" | while read -r line; do say "  before: $line"; done
	grep -vxFf "$1" "$2" | while read -r line; do say "  after:  $line"; done
	grep -vxFf "$1.xenstore" "$2.xenstore" | head -n 5 | while read -r line; do say "  new: $line"; done
	return 1
}

# look STEP WORD...: once the guest has drawn the step, its picture must become what the words say.
# $look_at: of which guest, where there are several.
look() {
	step=$1
	shift
	wait_until 120 logged guest "guest: look $step" || {
		not_ok "picture $step: the guest does not get there"
		return
	}
	tries=5
	until picture "/tmp/$step.png" "${look_at:-}" && /share/bin/check_png "/tmp/$step.png" "$@" >/tmp/differs; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || break
		sleep 1
	done
	if [ $tries -gt 0 ]; then
		ok "picture $step"
	else
		not_ok "picture $step: $(cat /tmp/differs)"
		cp "/tmp/$step.png" /share/out/
	fi
	type_to guest ''
}

# check_all_pictures: the guest draws all that pixels can, in 2D, with the cursor, and in GL (pictures.sh).
check_all_pictures() {
	begin_in guest "/share/bin/pixels -w /dev/hvc0 dumb flip dirty cursor moved gl texture && ! dmesg | grep -E '\\*ERROR\\*|virtio.gpu.*(response|timed out)'"
	look_2d
	look_cursor
	look_gl
	check "the guest's programs and driver report no error" end_in guest 60
	check "the guest renders with virgl" logged guest 'guest: renderer.*virgl'
}
