# SPDX-License-Identifier: MIT
# Sourced in dom0: how long it takes from kill -9 of a guest's worker to its next frame, $kills times. The guest
# flips in 2D, 20 times a second.
kills=${kills:-100}
no_avc() { ! avc; }

prepare
start gpudom vcpus=2 && wait_until 120 booted gpudom || return
run_in gpudom 30 "/share/gpudom-start -k recovery.conf"
start -p guest memory=256
check "its GPU is served" /share/gpudom-unpause guest 90
check "it boots" wait_until 120 booted guest
type_to guest '/share/bin/flips c02010 </dev/null'
check "it draws" wait_until 60 logged guest 'guest: frame 10'
run_in gpudom 60 '/share/gpudom-memory'
while read -r line; do say "  $line"; done </tmp/gpudom.out
check "its worker is killed $kills times" run_in gpudom $((kills * 10 + 60)) "/share/gpudom-recovery guest $kills"
sed -n 's/^recovery //p' /tmp/gpudom.out | sort -n >/share/out/recovery
check "each time a new one shows frames" [ "$(wc -l </share/out/recovery)" = "$kills" ]
say "from kill -9 to a new worker's frame, over $kills: p50 $(sed -n "$((kills / 2))p" /share/out/recovery) ms, p99 $(sed -n "$((kills * 99 / 100))p" /share/out/recovery) ms, longest $(tail -n 1 /share/out/recovery) ms"
f=$(grep -c 'guest: frame' /share/out/guest-guest.log)
more_frames() { [ "$(grep -c 'guest: frame' /share/out/guest-guest.log)" -gt $((f + 2)) ]; }
check "the guest's program goes on" wait_until 60 more_frames
check "FLASK has refused nothing" no_avc
gpudom_log
