#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: test.sh [kms|show|stack|plug|input|devices|hostile|measure]...
# make seat-test: gpudom-seat on a real kernel's KMS, uinput and udev (arm64, emulated by QEMU without Xen), with real
# workers of guests that tests drive (tools/seat_guest.c, tools/seat_input_guest.c).
#   kms       the KMS backend alone (tools/kms_show.c): planes, cursors, fences, another terminal, another master
#   show      pictures on outputs, cursors, modes, outputs set by people; a worker and the seat die
#   stack     three guests on one output, by planes and composed: the same pixels
#   plug      monitors come and go; garbage EDIDs; another DRM master; another virtual terminal
#   input     keys, motions, touches; focus and its chord; keyboards pulled out; LEDs; a guest that does not read
#   devices   what libinput and the settings make of touch screens, pens, wheels, lids, a guest's own keyboard
#   hostile   10,000 flips, freed resources, odd sizes, stalls: the other guest does not notice
#   measure   prints what frames and events cost; not by default
# Each boots a machine (vm.sh), whose logs and pictures are left in build/seat/NAME/. About five minutes.
. "$(dirname -- "$0")/env.sh"
exec 9>&-

"$here/../xen/build-rootfs.sh"
"$here/../xen/build-kernel.sh"
"$here/../xen/build-gpudom.sh"
passed=0 failed=0
for name in ${*:-kms show stack plug input devices hostile}; do
	[ -e "$here/scenarios/$name.sh" ] || die "no test '$name'"
	say "$name: booting"
	r=0
	"$here/vm.sh" -q "$here/scenarios/$name.sh" || r=$?
	log=$top/build/seat/$name/console.log
	p=$(grep -c ' @ ok: ' "$log") || :
	f=$(grep -c ' @ NOT OK: ' "$log") || :
	# One that does not end, or says nothing, has failed.
	if { [ $r -ne 0 ] && [ "$f" -eq 0 ]; } || [ $((p + f)) -eq 0 ]; then f=$((f + 1)); fi
	[ "$f" -eq 0 ] || say "$name: $f failed; see build/seat/$name"
	passed=$((passed + p)) failed=$((failed + f))
done
say "$passed passed, $failed failed"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
