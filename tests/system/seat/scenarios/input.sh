# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# From uinput by libinput and the seat to guests' virtio-input queues.

seat_start </dev/null
device keyboard
device mouse
device touch
guest_start red
guest_start blue
for g in red blue; do
	paint $g 1 1024x768 c01020
	show $g 0 1
	for k in keyboard mouse pointer touch; do input_start $g $k; done
done
focus red

do_ keyboard 'key/30=1'
do_ keyboard 'key/30=0'
got "keys reach the guest with focus" red_keyboard key/30=1 key/30=0
got_nothing "and nobody else" blue_keyboard

# Focus goes with a key held down
do_ keyboard 'key/42=1'
do_ keyboard 'key/30=1'
got "two keys are down" red_keyboard key/42=1 key/30=1
focus blue
sleep 0.5
say "on losing focus: $(tr '\n' ';' <$t/red_keyboard.got)"
check "who loses focus gets releases" [ "$(tr ' ' '\n' <$t/red_keyboard.got | sort | tr '\n' ' ')" = 'key/30=0 key/42=0 ' ]
: >$t/red_keyboard.got
do_ keyboard 'key/30=0'
do_ keyboard 'key/42=0'
got_nothing "their releases are nobody's" red_keyboard
got_nothing "also not of the one that has focus now" blue_keyboard

# The chord: Left Meta + Tab
do_ keyboard 'key/125=1'
do_ keyboard 'key/15=1'
do_ keyboard 'key/15=0'
do_ keyboard 'key/125=0'
check "the chord moves focus" status_is .focus red
check "no guest sees the chord" [ "$(grep -c key/15 $t/red_keyboard.got $t/blue_keyboard.got | cut -d: -f2 | sort -u)" = 0 ]
: >$t/red_keyboard.got
: >$t/blue_keyboard.got

# A keyboard that is pulled out in mid-press
do_ keyboard 'key/31=1'
got "a key is down" red_keyboard key/31=1
unplug_device keyboard
got "the guest sees it go up when the keyboard is pulled out" red_keyboard key/31=0
device keyboard

# LEDs
input_tell red_keyboard 'led 1 1'
caps_is_lit() {
	tell fake_keyboard leds >>$t/leds
	grep -q '^led/1=1$' $t/leds
}
check "the guest's caps lock is lit on the keyboard" wait_until 5 caps_is_lit
: >$t/red_keyboard.got
do_ keyboard 'key/30=1'
do_ keyboard 'key/30=0'
got "a keyboard that is plugged in again works" red_keyboard key/30=1 key/30=0

# Mouse
do_ mouse 'rel/0=10 rel/1=5'
sleep 0.5
check "a motion reaches the mouse or the pointer" grep -q 'rel/0=\|abs/0=' $t/red_mouse.got $t/red_pointer.got
say "mouse: $(tr '\n' ';' <$t/red_mouse.got) pointer: $(tr '\n' ';' <$t/red_pointer.got)"
: >$t/red_mouse.got
: >$t/red_pointer.got
do_ mouse 'key/272=1'
do_ mouse 'key/272=0'
sleep 0.5
check "and so does a click" grep -q 'key/272=1' $t/red_mouse.got $t/red_pointer.got

# A touch drag
do_ touch 'abs/47=0 abs/57=7 abs/53=1000 abs/54=2000 key/330=1 abs/0=1000 abs/1=2000'
for x in 1100 1200 1300 1400; do do_ touch "abs/53=$x abs/0=$x"; done
do_ touch 'abs/57=-1 key/330=0'
sleep 0.5
say "touch: $(sed -n 1,2p $t/red_touch.got | tr '\n' ';')"
check "a touch comes down" grep -q 'abs/57=[0-9]' $t/red_touch.got
check "is dragged" [ "$(grep -c 'abs/53=' $t/red_touch.got)" = 5 ]
check "and is lifted" grep -q 'abs/57=-1' $t/red_touch.got

# A guest that does not take its events
input_tell red_keyboard hold
i=0
while [ $i -lt 150 ]; do
	do_ keyboard 'key/30=1'
	do_ keyboard 'key/30=0'
	i=$((i + 1))
done
do_ keyboard 'key/30=1'
input_tell red_keyboard take
sleep 1
say "of 301 frames it has got $(grep -c key/30 $t/red_keyboard.got)"
check "a guest that does not take its events has the last state right" [ "$(grep key/30 $t/red_keyboard.got | tail -n 1)" = key/30=1 ]
do_ keyboard 'key/30=0'
logs
