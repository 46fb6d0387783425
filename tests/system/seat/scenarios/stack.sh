# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Several guests on one output: planes, and the same composed, to the pixel.

# One set-up, once on vkms, which has planes for all, and once on the virtio-gpu, which has one (and of the same size).
views() { # OUTPUT ALPHA
	cat <<C
[view red:0]
output = $1
order = 0
[view blue:0]
output = $1
position = 100,50
size = 320x240
order = 1
alpha = $2
[view green:0]
output = $1
position = 300,200
size = 320x240
order = 2
C
}
all_pictures() {
	for g in red blue green; do guest_start $g; done
	check "small views are small monitors" [ "$(tell blue info)" = 'output 0 320x240' ]
	paint red 1 1024x768 c01020
	paint blue 1 320x240 1020c0
	paint green 1 320x240 10c020
	for g in red blue green; do show $g 0 1; done
}
all_gone() {
	for g in red blue green; do crash $g; done
	stop seat
}
expected='99,50=c01020 100,50=efdf3f 116,66=1020c0 299,200=1020c0 300,200=ef3fdf 316,216=10c020 419,289=10c020 -1,-1=3fefdf 620,216=c01020'
views Virtual-1 1 | seat_start
all_pictures
# shellcheck disable=SC2086 # a list
sees "three guests share an output" Virtual-1 $expected
n=$(planes Virtual-1)
check "each on a plane of its own ($n planes)" [ "$n" = 3 ]
say "paths: $(status '[.views[] | {guest, path}]')"
screen Virtual-1 $t/planes.png
all_gone

views Virtual-2 1 | seat_start
all_pictures
sees "the same composed, to the pixel" Virtual-2 =$t/planes.png
n=$(planes Virtual-2)
check "on one plane ($n)" [ "$n" = 1 ]
say "paths: $(status '[.views[] | {guest, path}]')"
tell green 'draw 1 40,40 8x8 ffffff'
tell green 'flush 1 40,40 8x8'
sees "damage of one is composed" Virtual-2 339,240=10c020 340,240=ffffff 347,247=ffffff 348,247=10c020
all_gone

# vkms has no alpha for planes: the seat composes. Half of blue over red.
views Virtual-1 0.5 | seat_start
all_pictures
sees "a view of half transparency" Virtual-1 116,66=681870~2 316,216=10c020 20,20=c01020
say "paths: $(status '[.views[] | {guest, path}]')"
tell red 'draw 1 110,60 20x20 ffffff'
tell red 'flush 1 110,60 20x20'
sees "what is under it shines through" Virtual-1 116,66=888fdf~2
tell blue 'draw 1 30,30 4x4 000000'
tell blue 'flush 1 30,30 4x4'
sees "and follows what is over it" Virtual-1 131,81=600810~2
logs
