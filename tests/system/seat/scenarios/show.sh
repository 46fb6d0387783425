# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Guests' pictures on screens: outputs, planes, composing, cursors, modes, and what happens when somebody dies.

seat_start <<'C'
[view red:0]
output = Virtual-1
[view blue:0]
output = Virtual-2
C
guest_start red
guest_start blue
check "a guest's outputs are as its monitors" [ "$(tell red info)" = 'output 0 1024x768' ]

# Two guests, two outputs
paint red 1 1024x768 c01020
paint blue 1 1024x768 1020c0
show red 0 1
show blue 0 1
sees "a guest's picture is on its output (vkms)" Virtual-1 1024x768 0,0=3fefdf 15,15=3fefdf 16,16=c01020 -1,-1=3fefdf 'colours<3'
sees "another guest's is on another (virtio-gpu)" Virtual-2 1024x768 0,0=efdf3f 16,16=1020c0 -1,-1=efdf3f 'colours<3'
say "paths: $(status '[.views[] | {guest, path}]')"

# Damage, and a part of a resource
tell red 'draw 1 100,100 50x40 00ff00'
tell red 'flush 1 100,100 50x40'
sees "what is flushed is updated" Virtual-1 99,100=c01020 100,100=00ff00 149,139=00ff00 150,139=c01020 149,140=c01020
paint red 2 2048x800 808080
tell red 'draw 2 1000,20 1024x768 123456'
tell red 'draw 2 1000,20 1x1 ffffff'
tell red 'set 0 2 1000,20 1024x768'
tell red 'flush 2'
sees "a part of a larger resource is shown" Virtual-1 0,0=ffffff 1,0=123456 -1,-1=123456 'colours<3'

# Cursors
paint red 3 64x64 00ffff
tell red 'cursor 0 3 200,100 0,0'
sees "a cursor is where it belongs (plane)" Virtual-1 199,100=123456 200,100=ff0000 220,120=00ffff 263,163=ff0000 264,163=123456
check "on a plane of its own" [ "$(kms_grab "$(card vkms)" | grep -c 'cursor 200,100')" = 1 ]
tell red 'move 0 300,400'
sees "and moves" Virtual-1 200,100=123456 300,400=ff0000 363,463=ff0000
tell red 'move 0 1000,740'
sees "also over the edge" Virtual-1 1000,740=ff0000 1020,760=00ffff 300,400=123456
tell red 'cursor 0 0 0,0'
sees "and is hidden" Virtual-1 1000,740=123456 1020,760=123456

# Modes set by the guest
paint red 4 800x600 304050
show red 0 4
sees "a guest sets a mode" Virtual-1 800x600 0,0=cfbfaf 16,16=304050 -1,-1=cfbfaf
paint red 5 640x400 405060
show red 0 5
sees "what the monitor cannot do is shown all the same" Virtual-1 'colours>1'
say "640x400 is shown as: $(status '.outputs[0].mode')"
show red 0 1
sees "and back" Virtual-1 1024x768 16,16=c01020 110,110=00ff00

# Outputs set by people
output red 0 off >/dev/null
check "an output is switched off" status_is '.outputs[] | select(.name == "Virtual-1") | .mode' off
tell red 'flips 0 1 1 3' >/dev/null
ok "a guest whose output is off goes on"
output red 0 on >/dev/null
sees "and on" Virtual-1 1024x768 20,20=c01020
output red 0 800x600 >/dev/null
say "the guest has then: $(tell red info)"
sees "or set to a mode" Virtual-1 800x600 'colours>1'
output red 0 on >/dev/null
check "a mode that is not there is refused" [ "$(output red 0 123x45 | jq -r .ok)" = false ]
say "refused with: $(output red 0 123x45 | jq -r .error)"

# A worker dies, a guest goes
show red 0 1
kill -9 "$(tell blue pid)"
sleep 1
sees "the last picture of a worker that was killed stays" Virtual-2 16,16=1020c0
crash blue
guest_start blue
paint blue 1 1024x768 20c010
show blue 0 1
sees "until its successor's" Virtual-2 16,16=20c010

# The seat dies
tell red 'flips 0 1 1 2' >/dev/null
crash seat
paint red 6 1024x768 708090
tell red 'set 0 6'
tell red 'flush 6'
ok "a guest draws on without a seat"
seat_again
tell red reseat
tell blue reseat
sees "a new seat shows what the guest has shown to nobody" Virtual-1 16,16=708090
sees "and what was on screen" Virtual-2 16,16=20c010
show red 0 1
sees "and what comes" Virtual-1 20,20=c01020
check "the seat's log has no error" [ "$(grep -ci 'error' $t/seat.log)" = 0 ]
logs
