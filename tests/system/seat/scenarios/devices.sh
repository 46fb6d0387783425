# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What libinput and the settings make of devices: one of a guest's own, a touch screen that is mounted upside down,
# one that is ignored, a pen, wheels, a lid.

seat_start <<'EOF'
[input gpudom test key*]
guest = blue
[input gpudom test touch]
output = Virtual-2
calibration = -1 0 1 0 -1 1
EOF
for d in keyboard mouse touch tablet switch; do device $d; done
guest_start red
guest_start blue
for g in red blue; do
	paint $g 1 1024x768 c01020
	show $g 0 1
	for k in keyboard pointer touch tablet switch; do input_start $g $k; done
done
focus red
: >$t/red_switch.got

# Of blue, which has no focus
do_ keyboard 'key/30=1'
do_ keyboard 'key/30=0'
got "a guest's own keyboard is its without focus" blue_keyboard key/30=1 key/30=0
do_ keyboard 'key/31=1'
got "a key is down" blue_keyboard key/31=1
focus blue
focus red
got_nothing "what it holds stays down while focus comes and goes" blue_keyboard
unplug_device keyboard
got "until it is pulled out" blue_keyboard key/31=0
got_nothing "and the other guest has seen nothing" red_keyboard

# 0 is 1: the last of 4096 positions is at the upper left. The first one is outside by nothing.
do_ touch 'abs/47=0 abs/57=7 abs/53=4095 abs/54=2048 key/330=1 abs/0=4095 abs/1=2048'
do_ touch 'abs/57=-1 key/330=0'
sleep 0.5
say "touch: $(tr '\n' ';' <$t/red_touch.got)"
check "calibration turns a touch screen" grep -q 'abs/53=[0-9] .*abs/54=163[0-9][0-9] ' $t/red_touch.got

# Near, down, a button, up, away
do_ tablet 'key/320=1 abs/0=2048 abs/1=1024 abs/25=20 abs/24=0'
do_ tablet 'key/330=1 abs/24=2048 abs/25=0 abs/0=2100'
do_ tablet 'key/331=1'
do_ tablet 'key/331=0'
do_ tablet 'key/330=0 abs/24=0'
do_ tablet 'key/320=0'
sleep 0.5
say "pen: $(tr '\n' ';' <$t/red_tablet.got)"
check "a pen comes near" grep -q 'key/320=1' $t/red_tablet.got
check "touches" grep -q 'key/330=1' $t/red_tablet.got
check "has a button" grep -q '^key/331=1' $t/red_tablet.got
check "and goes" [ "$(grep -o 'key/3[0-9]*=0' $t/red_tablet.got | sort -u | tr '\n' ' ')" = 'key/320=0 key/330=0 key/331=0 ' ]

: >$t/red_pointer.got
do_ mouse 'rel/8=-1 rel/11=-120'
got "a wheel turns" red_pointer 'rel/8=-1 rel/11=-120'
do_ mouse 'rel/11=40'
do_ mouse 'rel/11=40'
do_ mouse 'rel/8=1 rel/11=40'
sleep 0.5
say "wheel: $(tr '\n' ';' <$t/red_pointer.got)"
check "by parts of a detent, too" [ "$(grep -o 'rel/11=[0-9]*' $t/red_pointer.got | cut -d= -f2 | awk '{ s += $1 } END { print s }')" = 120 ]

do_ switch 'sw/0=1'
got "the lid is closed" red_switch sw/0=1
focus blue
got "which is so for whoever has focus" blue_switch sw/0=1
do_ switch 'sw/0=0'
got "and opened" blue_switch sw/0=0

say "$(status '.devices[] | select(.name | startswith("gpudom test")) | [.name, .guest, .output] | join(" ")' | tr '\n' ';')"
check "the status knows devices" status_is '[.devices[] | select(.output == "Virtual-2") | .name] | join(",")' 'gpudom test touch'

# Settings that change
cat >$t/seat.conf <<'EOF'
[input gpudom test mouse]
ignore = yes
EOF
kill -HUP "$(cat $t/seat.pid)"
wait_until 5 status_is '[.devices[] | select(.ignored) | .name] | join(",")' 'gpudom test mouse'
: >$t/blue_pointer.got
do_ mouse 'rel/0=10'
got_nothing "a device that is ignored does nothing" blue_pointer
do_ touch 'abs/47=0 abs/57=8 abs/53=4095 abs/54=2048 key/330=1 abs/0=4095 abs/1=2048'
do_ touch 'abs/57=-1 key/330=0'
sleep 0.5
say "touch: $(tr '\n' ';' <$t/blue_touch.got)"
check "a calibration can be taken back" grep -q 'abs/53=327[0-9][0-9] ' $t/blue_touch.got
say "$(status '.input | [.latency_count, .latency_p50_ns, .latency_p99_ns] | join(" ")')"
logs
