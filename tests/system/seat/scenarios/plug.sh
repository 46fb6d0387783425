# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Monitors that come and go, garbage for EDIDs, screens that are somebody else's.
virtio=$(card virtio_gpu)

# Somebody else is DRM master of the second card.
begin other kms_hold "$virtio"
seat_start </dev/null
line="$virtio is being shown on by kms_hold"
wait_until 5 grep -q "$line" $t/seat.log
say "with another master: $(grep "$line" $t/seat.log)"
check "one clear line says that the screen is somebody else's" [ "$(grep -c "$line" $t/seat.log)" = 1 ]
guest_start red --scanouts=2
paint red 1 1024x768 c01020
paint red 2 1024x768 1020c0
show red 0 1
sees "the other card shows meanwhile" Virtual-1 16,16=c01020
stop other
tell red 'set 1 2'
tell red 'flush 2'
sees "it is taken when it is free" Virtual-2 16,16=1020c0

# Hotplug
host plug 1 1280 720
wait_until 10 status_is '.outputs[] | select(.name == "Virtual-3") | .connected' true
check "a monitor is plugged in" status_is '.outputs[] | select(.name == "Virtual-3") | .connected' true
host unplug 0
wait_until 10 status_is '.outputs[] | select(.name == "Virtual-2") | .connected' false
check "another one is pulled out" status_is '.outputs[] | select(.name == "Virtual-2") | .connected' false
say "the guest has: $(tell red info | tr '\n' ';')"
tell red 'set 1 2'
tell red 'flush 2'
ok "the guest goes on without it"
host plug 0 800 600
wait_until 10 status_is '.outputs[] | select(.name == "Virtual-2") | .connected' true
say "and then: $(tell red info | tr '\n' ';')"
paint red 4 800x600 20c010
tell red 'set 1 4'
tell red 'flush 4'
sees "a monitor that is plugged in again shows" Virtual-2 16,16=20c010

# An EDID as bad as Linux lets pass: a right checksum over nonsense, escape sequences for a name, no mode
odd_edid() {
	h=00ffffffffffff00ffffffffffffffffffff010480000000ff
	h=${h}ffffffffffffffffffff00000001010101010101010101010101010101
	h=${h}000000fc001b5b33316d074e414d450a2020 # ESC [ 3 1 m BEL
	h=${h}000000fd00ff00ff00ffffffffffffffffff
	for i in 1 2; do h=${h}0001ffffffffffffffffffffffffffffffff; done
	h=${h}00
	sum=$(echo "$h" | sed 's/../0x& /g' | tr ' ' '\n' | awk 'BEGIN { s = 0 } /0x/ { s += index("0123456789abcdef", substr($0, 3, 1)) * 16 - 16 + index("0123456789abcdef", substr($0, 4, 1)) - 1 } END { printf "%02x", (256 - s % 256) % 256 }')
	echo "$h$sum" | xxd -r -p
}
odd_edid >"/sys/kernel/debug/dri/${virtio#/dev/dri/card}/Virtual-2/edid_override" || not_ok "Linux takes the EDID"
host plug 0 1152 864
sleep 2
check "nonsense for an EDID does no harm" status_is '.outputs[] | select(.name == "Virtual-2") | .connected' true
tell red 'set 1 4'
tell red 'flush 4'
sees "its screen shows something" Virtual-2 'colours>1'
say "the guest has: $(tell red info | tr '\n' ';')"
check "no escape sequence reaches the log" sh -c '! grep -q "$(printf "\033")" /run/t/seat.log'
echo reset >"/sys/kernel/debug/dri/${virtio#/dev/dri/card}/Virtual-2/edid_override"

# Another virtual terminal
chvt 2
wait_until 5 status_is .active false
say "on another terminal: active $(status .active)"
tell red 'set 0 1'
tell red 'flush 1'
ok "guests go on while the screen is somebody else's"
chvt 1
wait_until 5 status_is .active true
sees "and is back with us" Virtual-1 16,16=c01020
logs
