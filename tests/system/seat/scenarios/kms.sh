# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# The KMS backend alone: what it says that it shows is what cards show, pixel by pixel.

cd /tmp || exit
vkms=$(card vkms) gpu=$(card virtio_gpu)
mkfifo in out

# open_show [CARD]: kms_show from now on; close_show: its end.
open_show() {
	kms_show "$@" <in >out 2>>/share/out/kms_show.log &
	show_pid=$!
	exec 5>in 6<out
}
close_show() {
	exec 5>&- 6<&-
	wait $show_pid
}
# k COMMAND...: the answer is in $answer, too.
k() {
	echo "$*" >&5
	read -r answer <&6
	echo "$* -> $answer"
}
# does TEXT ANSWER COMMAND...: check that the command is answered so.
does() {
	text=$1 wanted=$2
	shift 2
	k "$@"
	check "$text" [ "${answer##*: }" = "$wanted" ]
}
# is_shown TEXT OUTPUT [PLANES]: what vkms scans out (by its CRC) is what it should be, from so many planes.
is_shown() {
	k expect "$2" /tmp/expected.png
	rm -f shown.png
	kms_grab -c "$vkms" shown.png >grab.txt 2>&1
	cat grab.txt
	check "$1" [ "$(busybox md5sum <expected.png)" = "$(busybox md5sum <shown.png)" ]
	[ -z "${3:-}" ] || check "... from $3 planes" [ "$(grep -c ^plane grab.txt)" = "$3" ]
}
logged_line() { grep -q -- "$1" /share/out/kms_show.log; }

# ---- one output, by vkms
open_show "$vkms"
k outputs
o=${answer%% *}
does "a mode is set" done mode "$o" 640x480
does "a mode that there is not, is refused" EINVAL mode "$o" 639x480
does "a full screen is shown" done show "$o" a,0,0,640x480
is_shown "a full screen is right" "$o" 1
does "three layers are shown" done show "$o" a,0,0,640x480 h,100,50,300x200 b,350,100,200x200
is_shown "three layers are right" "$o" 3
does "layers over the edges are shown" done show "$o" a,0,0,640x480 b,-50,-20,200x100 h,500,400,300x300
is_shown "layers over the edges are right" "$o" 3
does "a stack in another order is shown" done show "$o" a,0,0,640x480 b,350,100,200x200 h,340,90,300x200
is_shown "a stack in another order is right" "$o" 3
does "a small layer alone is shown" done show "$o" b,100,100,200x200
is_shown "a small layer is on black" "$o"
does "nothing is shown" done show "$o"
is_shown "nothing is black" "$o"
does "a dma-buf is shown" done show "$o" A,0,0,640x480
is_shown "a dma-buf is right" "$o" 1
does "two dma-bufs are shown" done show "$o" A,0,0,640x480 H,64,64,256x256
is_shown "two dma-bufs are right" "$o" 2
does "a picture upside down is shown" done show "$o" A,0,0,640x480,flip b,20,20,100x100
k expect "$o" /tmp/expected.png # kms_grab knows no reflections
does "scaling is refused" EINVAL show "$o" a,0,0,640x480,size=320x240
does "the same again" EINVAL show "$o" a,0,0,640x480,size=320x240
does "transparency is refused" EINVAL test "$o" a,0,0,640x480 b,0,0,100x100,alpha=30000
does "a test says yes" done test "$o" a,0,0,640x480 b,0,0,100x100
does "more layers than planes are refused" EINVAL show "$o" a,0,0,640x480 \
	b,0,0,16x16 b,16,0,16x16 b,32,0,16x16 b,48,0,16x16 b,64,0,16x16 b,80,0,16x16 b,96,0,16x16 b,112,0,16x16 b,128,0,16x16
does "a frame after that is shown" done show "$o" a,0,0,640x480
does "a cursor is shown" done cursor "$o" 200 100
is_shown "a cursor is right" "$o" 2
does "it moves" done move "$o" 420 300
is_shown "without a flip" "$o" 2
does "it leaves by the edge" done move "$o" -10 -20
is_shown "half of it stays" "$o" 2
k flips "$o" 60
say "vkms: $answer"
k moves "$o" 200
say "vkms: $answer"
is_shown "after many moves it is where it should be" "$o" 2
does "a flip waits for its fence, and a cursor does not wait for the flip" done fence "$o"
is_shown "the cursor has moved after it" "$o" 2
does "it goes" done cursor "$o" none
is_shown "and leaves nothing" "$o" 1
does "another mode is set" done mode "$o" 1024x768
does "and shown in" done show "$o" a,0,0,1024x768 h,600,400,300x300
is_shown "another mode is right" "$o" 2

# ---- virtual terminals
chvt 5
does "another terminal takes the screen" done wait inactive
does "nothing can be shown" EPERM show "$o" a,0,0,1024x768
does "nor a cursor" EPERM cursor "$o" 0 0
chvt 1
does "the screen is ours again" done wait active
does "frames go on" done show "$o" a,0,0,1024x768 h,600,400,300x300
is_shown "and are right" "$o" 2

# ---- somebody else is master
export LIBSEAT_BACKEND=none
k mode "$o" off
close_show
kms_show "$vkms" <in >out 2>>/share/out/kms_show.log &
other=$!
exec 7>in 8<out
echo outputs >&7
read -r answer <&8
mkfifo in2 out2
kms_show "$vkms" <in2 >out2 2>>/share/out/kms_show.log 7>&- 8<&- &
show_pid=$!
exec 5>in2 6<out2
k outputs
check "a card of somebody else's has no outputs" [ -z "$answer" ]
check "and it is said whose it is" logged_line 'is being shown on by kms_show (process'
exec 7>&- 8<&-
wait $other
does "it is taken when it is free" done wait active
does "and used" done mode "$o" 800x600
does "a frame is shown on it" done show "$o" b,0,0,800x600
is_shown "and is right" "$o" 1
close_show
unset LIBSEAT_BACKEND

# ---- monitors that come and go, by virtio-gpu
rm in out
mkfifo in out
open_show "$gpu"
k outputs
one=${answer%% *} two=${answer#*; }
two=${two%% *}
does "a virtio-gpu's first screen is on" done mode "$one" 1024x768
does "and shows" done show "$one" a,0,0,1024x768
k outputs
check "its second screen is not there" [ "${answer#*"$two" none}" != "$answer" ]
does "and cannot be used" ENODEV mode "$two" 800x600
host plug 1 800 600
does "it is plugged in" done wait outputs
does "and used" done mode "$two" 800x600
does "and shows" done show "$two" b,0,0,800x600
does "the first one shows on" done show "$one" a,0,0,1024x768
does "small layers are refused" EINVAL show "$two" b,0,0,800x600 b,10,10,100x100
does "a cursor is shown" done cursor "$two" 40 30
host dump 1 second.png
check "the machine outside sees it" check_png /share/out/second.png 800x600 100,100=e8e8e8 300,200=fcfcfc
k flips "$one" 60
say "virtio-gpu: $answer"
k moves "$two" 200
say "virtio-gpu: $answer"
host unplug 1
does "it is unplugged" done wait outputs
does "a frame for it is refused" ENODEV show "$two" b,0,0,800x600
does "the first one shows on" done show "$one" b,0,0,1024x768
host plug 1 800 600
does "it is plugged in again" done wait outputs
does "and used" done mode "$two" 800x600
does "and shows" done show "$two" b,0,0,800x600
close_show

# ---- all cards at once
open_show
k outputs
say "all: $answer"
for out in Virtual-1 Virtual-2 Virtual-3; do
	does "$out is set" done mode $out 800x600
	does "$out shows" done show $out b,0,0,800x600
done
close_show
cp /tmp/*.png /share/out/
