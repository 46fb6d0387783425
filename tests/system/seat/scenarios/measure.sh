# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What frames and events cost. Under emulation only ratios and counts mean something: printed, not asserted.
frames=${frames:-120}

# cost TEXT GUEST SCANOUT: CPU time a frame of the worker and of the seat, beside a memcpy of the frame
cost() {
	copy=$(tell "$2" 'memcpy 1 20' | sed -n 's/^memcpy \([0-9]*\) us/\1/p')
	pw=$(renderer "$2") ps=$(cat $t/seat.pid)
	s=$(tell "$2" "cpu $ps") w=$(tell "$2" "cpu $pw")
	line=$(tell "$2" "flips $3 1 2 $frames")
	s=$(($(tell "$2" "cpu $ps") - s)) w=$(($(tell "$2" "cpu $pw") - w))
	say "$1: worker $((w / frames)) us, seat $((s / frames)) us a frame; a memcpy of it $copy us; ratio $(((w + s) * 100 / frames / copy)) %"
	say "  $line"
	say "  $(status "[.views[] | select(.guest == \"$2\") | {path, presented, shown, overtaken}]")"
}

seat_start <<'C'
[output Virtual-1]
mode = 1920x1080
[view red:0]
output = Virtual-1
C
guest_start red
paint red 1 1920x1080 c01020
paint red 2 1920x1080 c01020
show red 0 1
cost "a 2D resource" red 0
crash red
guest_start red
paint red 1 1920x1080 c01020 blob
paint red 2 1920x1080 c01020 blob
show red 0 1
cost "a blob of the guest's pages" red 0
crash red
stop seat

seat_start <<'C'
[output Virtual-1]
mode = 1920x1080
[view red:0]
output = Virtual-1
[view blue:0]
output = Virtual-1
position = 100,100
size = 320x240
order = 1
alpha = 0.5
C
guest_start red
guest_start blue
paint red 1 1920x1080 c01020
paint red 2 1920x1080 c01020
paint blue 1 320x240 1020c0
show red 0 1
show blue 0 1
cost "composed" red 0

input_start red keyboard
input_tell red_keyboard 'latency 300'
wait_until 60 grep -q '^latency' $t/red_keyboard.got
say "uinput to the guest's wake-up: $(grep '^latency' $t/red_keyboard.got)"
logs
