# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Helpers of the scenarios: gpudom-seat, guests and people. Sourced in the machine of ../vm.sh.
#
# Guests and fake devices are programs of ../tools that do what they are told, a line each; their pipes are
# /run/t/NAME.in and .out. All may be called in subshells.
t=/run/t
mkdir -p $t
export GPUDOM_SEAT=$t/seat

# begin NAME PROGRAM...: until it has said that it is ready. Its messages go to NAME.log, its number to NAME.pid.
begin() {
	name=$1
	shift
	rm -f "$t/$name.in" "$t/$name.out"
	mkfifo "$t/$name.in" "$t/$name.out"
	"$@" <>"$t/$name.in" 1<>"$t/$name.out" 2>>"$t/$name.log" &
	echo $! >"$t/$name.pid"
	answer_of "$name"
}
# answer_of NAME: prints what it tells, until it is done. 1: it has ended.
answer_of() {
	while read -r -t 60 line <>"$t/$1.out"; do
		[ "$line" != "done" ] || return 0
		echo "$line"
	done
	echo "no answer of $1: $(tail -n 3 "$t/$1.log")"
	return 1
}
tell() { # NAME LINE
	echo "$2" >"$t/$1.in"
	answer_of "$1"
}
# stop NAME; kill NAME with -9, as if it had crashed.
stop() { tell_end "$1" -TERM; }
crash() { tell_end "$1" -KILL; }
tell_end() {
	p=$(cat "$t/$1.pid")
	kill "$2" "$p" 2>/dev/null
	while kill -0 "$p" 2>/dev/null; do sleep 0.1; done
}

# ---------------------------------------------------------------- the seat

# seat_start [OPTION...]: with the configuration on standard input.
seat_start() {
	cat >$t/seat.conf
	seat_again "$@"
}
# seat_again: a new one, with the same configuration
seat_again() {
	rm -f $GPUDOM_SEAT
	gpudom-seat --socket=$GPUDOM_SEAT --config=$t/seat.conf "$@" 2>>$t/seat.log &
	echo $! >$t/seat.pid
	wait_until 20 test -S $GPUDOM_SEAT || not_ok "the seat starts: $(tail -n 5 $t/seat.log)"
}
seat() { seat_tell "$1" ${2:+"$2"}; }
# status FILTER: of jq, over what the seat says.
status() { seat '{"command":"status"}' | jq -rc "$1"; }
# status_is FILTER VALUE
status_is() { [ "$(status "$1")" = "$2" ]; }
focus() { seat "{\"command\":\"focus\",\"guest\":\"$1\"}" >/dev/null; }
output() { seat "{\"command\":\"output\",\"guest\":\"$1\",\"scanout\":$2,\"mode\":\"$3\"}"; }

# ---------------------------------------------------------------- guests

# guest_start NAME [WORKER'S OPTION...]
guest_start() {
	g=$1
	shift
	begin "$g" seat_guest "$g" /share/bin/gpudom-worker --display=frontend --renderer=soft "--guest=$g" "$@"
}
# renderer NAME: the process of its worker that serves it
renderer() {
	p=$(tell "$1" pid)
	c=$(pgrep -P "$p" | head -n 1)
	echo "${c:-$p}"
}
# paint NAME ID WxH RRGGBB [KIND]: a buffer of one colour, its upper left and lower right 16x16 of the inverse.
paint() {
	w=${3%x*} h=${3#*x}
	tell "$1" "create $2 $3 ${5:-2d}"
	tell "$1" "draw $2 0,0 $3 $4"
	i=$(printf %06x $((0x$4 ^ 0xffffff)))
	tell "$1" "draw $2 0,0 16x16 $i"
	tell "$1" "draw $2 $((w - 16)),$((h - 16)) 16x16 $i"
}
# show NAME SCANOUT ID: and waits until it is on screen.
show() {
	tell "$1" "set $2 $3"
	tell "$1" "flush $3"
}

# ---------------------------------------------------------------- screens

# screen OUTPUT FILE: what it shows. Virtual-1 is vkms' (checked against its CRC), Virtual-2 and -3 are the
# virtio-gpu's, as the machine outside sees them.
screen() {
	case $1 in
	Virtual-1) kms_grab -c "$(card vkms)" "$2" >$t/grab 2>&1 ;;
	*)
		rm -f "/share/out/look.png"
		host dump $((${1#Virtual-} - 2)) look.png >$t/grab && mv /share/out/look.png "$2"
		;;
	esac
}
# sees TEXT OUTPUT WORD...: the output must come to show what the words (of check_png) say, within ten seconds.
sees() {
	text=$1 o=$2
	shift 2
	end=$(($(cut -d. -f1 /proc/uptime) + 10))
	while :; do
		if screen "$o" $t/look.png && check_png $t/look.png "$@" >$t/differs 2>&1; then
			ok "$text"
			return
		fi
		[ "$(cut -d. -f1 /proc/uptime)" -le $end ] || break
		sleep 0.2
	done
	not_ok "$text: $(cat $t/differs $t/grab | head -n 5)"
	cp $t/look.png "/share/out/$(echo "$text" | tr ' /' '--').png"
}
# planes OUTPUT: how many planes show it.
planes() {
	case $1 in
	Virtual-1) c=$(card vkms) ;;
	*) c=$(card virtio_gpu) ;;
	esac
	kms_grab "$c" | grep -c '^plane [0-9]* \(primary\|overlay\)'
}

# ---------------------------------------------------------------- people

# device KIND: of uinput, as soon as udev knows it. do_ KIND FRAME: "key/30=1 ..."
device() {
	begin "fake_$1" fake_input "$1"
	udevadm settle
}
do_() { tell "fake_$1" "$2"; }
unplug_device() { tell_end "fake_$1" -KILL; }

# input_start GUEST KIND: what the guest gets is in /run/t/GUEST_KIND.got, a frame a line.
input_start() {
	n=$1_$2
	rm -f "$t/$n.in" "$t/$n.got"
	mkfifo "$t/$n.in"
	seat_input_guest "$1" "$2" /share/bin/gpudom-worker "--guest=$1" <>"$t/$n.in" >>"$t/$n.got" 2>>"$t/$n.log" &
	echo $! >"$t/$n.pid"
	wait_until 20 grep -q '^done$' "$t/$n.got" || not_ok "$n starts: $(tail -n 3 "$t/$n.log")"
	: >"$t/$n.got"
}
input_tell() { echo "$2" >"$t/$1.in"; } # GUEST_KIND LINE
# got TEXT GUEST_KIND FRAME...: just these frames, in this order, come within five seconds (and others have not). They
# are forgotten then.
got() {
	text=$1 n=$2
	shift 2
	printf '%s\n' "$@" >$t/wanted
	wait_until 5 got_now "$n"
	sleep 0.3 # what should not come would come now
	if got_now "$n"; then ok "$text"; else not_ok "$text: $(tr '\n' ';' <"$t/$n.got"), not $(tr '\n' ';' <$t/wanted)"; fi
	: >"$t/$n.got"
}
got_now() { [ "$(grep -v '^done$' "$t/$1.got")" = "$(cat $t/wanted)" ]; }
# got_nothing TEXT GUEST_KIND
got_nothing() {
	sleep 0.5
	if [ -z "$(grep -v '^done$' "$t/$2.got")" ]; then ok "$1"; else not_ok "$1: $(tr '\n' ';' <"$t/$2.got")"; fi
	: >"$t/$2.got"
}

# logs: of all, for whoever reads console.log.
logs() { tail -n 40 $t/*.log; }
