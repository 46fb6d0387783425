# SPDX-License-Identifier: MIT
# Sourced in dom0: three guests at once, on a driver domain with two CPUs; the first guest has two CPUs
# too, and kicks from both. Then what gpudom may not do to its guests and to other domains.

no_avc() { ! avc; }
colour_of() { case $1 in red) echo c02010 ;; green) echo 10c020 ;; blue) echo 2010c0 ;; esac; }
size_of() { case $1 in red) echo 640x480 ;; green) echo 720x400 ;; blue) echo 512x384 ;; esac; }
inverse_of() { printf '%06x' $((0xffffff ^ 0x$(colour_of "$1"))); }
# frame NAME: the number of the last frame that the guest's program has said to be shown.
frame() { { echo 0 && sed -n 's/\r//; s/^guest: frame \([0-9]*\)$/\1/p' "/share/out/guest-$1.log"; } | tail -n 1; }
frame_after() { [ "$(frame "$1")" -gt "$2" ]; }
# shown NAME: the number in its picture.
shown() {
	picture "/tmp/$1.png" "$1" >/tmp/picture.log &&
		printf '%d' "0x$(/share/bin/check_png "/tmp/$1.png" '0,0=?')"
}

# own_picture NAME: all that is in its picture is its own: size, colour, the inverse in the middle.
own_picture() {
	c=$(colour_of "$1") i=$(inverse_of "$1") s=$(size_of "$1")
	w=${s%x*} h=${s#*x}
	shown "$1" >/dev/null && /share/bin/check_png "/tmp/$1.png" "$s" "-1,0=$c" "-1,-1=$c" "0,-1=$c" "16,0=$c" \
		"$((w / 4)),$((h / 4))=$i" "$((w / 2)),$((h / 2))=$i" \
		"$((w * 3 / 4 - 1)),$((h * 3 / 4 - 1))=$i" 'colours<4' >/tmp/differs || {
		say "  $1: $(cat /tmp/picture.log /tmp/differs)"
		cp "/tmp/$1.png" /share/out/
		return 1
	}
}
# moves NAME: frames go on arriving, in the guest's count and in the picture on gpudom's side.
moves() {
	f=$(frame "$1") s=$(shown "$1") || return
	wait_until 60 frame_after "$1" $((f + 20)) && [ "$(shown "$1")" -gt "$s" ]
}

prepare
start gpudom vcpus=2 && wait_until 120 booted gpudom || return
run_in gpudom 60 "/share/gpudom-start many.conf"
for g in red green blue; do
	cpus=1
	[ $g != red ] || cpus=2
	start -p $g memory=256 vcpus=$cpus
	check "$g: its GPU is served" /share/gpudom-unpause $g 60
done
for g in red green blue; do
	check "$g boots" wait_until 120 booted $g
	cursor=
	[ $g != red ] || cursor=-c
	type_to $g "/share/bin/flips $cursor $(colour_of $g) </dev/null"
done
for g in red green blue; do
	check "$g draws" wait_until 60 logged $g 'guest: frame 10'
done
for g in red green blue; do
	check "$g has its own picture, and nothing of another's" own_picture $g
	check "$g: frames go on" moves $g
done

counts /tmp/three
xl destroy green 2>/tmp/destroy.log
check "xl destroy green in mid-frame goes without an error" [ ! -s /tmp/destroy.log ]
for g in red blue; do
	check "$g: frames go on without green" moves $g
	check "$g: its picture is still its own" own_picture $g
done
start -p green memory=256
check "green comes back: its GPU is served" /share/gpudom-unpause green 60
check "green boots again" wait_until 120 booted green
check "FLASK has refused nothing" no_avc

# Two CPUs' requests at a time, on two CPUs of gpudom's: none is lost or answered twice.
f=$(frame red)
check "red: $((f + 200)) frames, with kicks from two CPUs" wait_until 300 frame_after red $((f + 200))
check "red is not stuck: its picture is its own" own_picture red

say "what gpudom may not do"
start -p stranger 'seclabel="system_u:system_r:domU_t"' memory=128 'virtio=[]'
refused() { # TEXT ARGUMENT...
	text=$1
	shift
	check "$text" run_in gpudom 20 "/share/bin/refusals $*"
	while read -r line; do say "  $line"; done </tmp/gpudom.out
}
refused_by_flask() { avc | grep -q "{ [^}]*$1.*source=d$(domid gpudom) target=d$3 .*tclass=$2"; }
refused "dom0 is out of reach" 0
refused "a guest with another label is out of reach" "$(domid stranger)"
refused "what a guest of ours has not granted is out of reach" "$(domid red)" 9000
for d in 0 $(domid stranger); do
	for p in 'dm hvm' 'resource_map domain2' 'map_read mmu' 'map_read grant'; do
		# shellcheck disable=SC2086 # permission and class
		check "FLASK has refused gpudom domain $d: $p" refused_by_flask $p "$d"
	done
done
no_event_channel() { avc | grep -q '{ bind } .*gpudom_t_channel tcontext=system_u:system_r:domU_t tclass=event'; }
check "FLASK has refused gpudom an event channel to another label" no_event_channel
xl destroy stranger
for g in red green blue; do xl destroy $g; done
gpudom_log
