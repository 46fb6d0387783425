# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# One guest (blue) that does what it should not, beside one that must not notice.

seat_start <<'C'
[view red:0]
output = Virtual-1
[view blue:0]
output = Virtual-2
C
guest_start red
guest_start blue
paint red 1 1024x768 c01020
paint red 2 1024x768 c01020
paint blue 1 1024x768 1020c0
paint blue 2 1024x768 1020c0
show blue 0 1

# median: of a line of seat_guest's flips
median() { sed -n 's/^flips.*median \([0-9]*\) us.*/\1/p'; }
calm=$(tell red 'flips 0 1 2 60')
say "alone: $calm"

# begin_flood NAME LINE: while the other one flips; its answer comes with end_flood.
begin_flood() { echo "$2" >"$t/$1.in"; }
end_flood() { answer_of "$1"; }

begin_flood blue 'flood 0 1 2 3000'
busy=$(tell red 'flips 0 1 2 60')
say "beside flips that nobody waits for: $busy"
say "which: $(end_flood blue)"
check "no frame of the other guest was lost meanwhile" status_is '.views[] | select(.guest == "red") | .overtaken' 0
say "views: $(status '[.views[] | {guest, presented, shown, overtaken}]')"
sees "the flooder's picture is whole" Virtual-2 20,20=1020c0
sees "so is the other one's" Virtual-1 20,20=c01020
say "ratio of medians: $(($(echo "$busy" | median) * 100 / $(echo "$calm" | median))) %"

# A resource is freed while it is on screen
show blue 0 1
tell blue 'unref 1'
sleep 0.5
check "the seat outlives a freed resource" status_is .ok true
paint blue 1 1024x768 20c010
show blue 0 1
sees "and shows the next one" Virtual-2 16,16=20c010

# Sizes
for s in 1x1 16x1 1x768 16384x1 1x16384 4096x4096; do
	say "$s: $(tell blue "create 9 $s" | tr '\n' ' ')$(tell blue 'set 0 9' | tr '\n' ' ')$(tell blue 'flush 9' | tr '\n' ' ')"
	tell blue 'unref 9'
done
check "the seat outlives odd sizes" status_is .ok true
check "and has not hung up on the guest" status_is '.views[] | select(.guest == "blue") | .attached' true
paint blue 3 1024x768 c0c010
show blue 0 3
sees "whose next picture is shown" Virtual-2 16,16=c0c010
sees "the other one's never left" Virtual-1 20,20=c01020

# A client that stalls: its worker is stopped in mid-frame
stopped=$(renderer blue)
kill -STOP "$stopped"
stalled=$(tell red 'flips 0 1 2 60')
say "beside a worker that is stopped: $stalled"
kill -CONT "$stopped"
show blue 0 1
sees "and it goes on when it is let" Virtual-2 16,16=20c010
check "the seat still answers" status_is .ok true
logs
