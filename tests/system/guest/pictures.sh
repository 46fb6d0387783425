# SPDX-License-Identifier: MIT
# What the steps of pixels.c must look like, in the words of check_png.c; sourced by the tests, which
# provide
#   look STEP WORD...    wait until the guest has reached the step, compare its picture, go on
# (POSIX sh; also run by busybox in the Xen test bed's dom0.)

# What guest/pixels.c draws at 1024x768. The four quadrants of dumb and flip:
rotated='511,383=2010c0 512,383=c02010 511,384=c0c020 512,384=10c020'
look_2d() {
	look dumb 1024x768 0,0=ffffff -1,0=00ffff 0,-1=ff00ff -1,-1=ffff00 1,1=c02010 \
		511,383=c02010 512,383=10c020 511,384=2010c0 512,384=c0c020
	# shellcheck disable=SC2086
	look flip 1024x768 0,0=2010c0 -1,-1=10c020 $rotated
	# shellcheck disable=SC2086
	look dirty $rotated 101,53=00ff80 133,69=00ff80 100,53=2010c0 101,52=2010c0 134,69=2010c0 \
		133,70=2010c0
}
look_cursor() {
	look cursor 200,150=ff40a0 231,181=ff40a0 232,150=2010c0 263,181=2010c0 199,150=2010c0 \
		200,182=100860~2 263,213=100860~2 264,213=2010c0 101,53=00ff80
	look moved 200,150=2010c0 263,213=2010c0 0,0=ff40a0 15,15=ff40a0 16,15=2010c0 \
		15,16=100860~2 47,47=100860~2 48,47=2010c0
}
look_gl() {
	look gl 1024x768 -1,0=336699 512,50=336699 -50,384=336699 512,-50=ff8000 50,384=ff8000 \
		0,-1=ff8000
	look texture 511,0=202020 0,-31=202020 40,-1=202020 0,-30=ffffff 39,-1=ffffff \
		513,-1=c80000 -1,-1=00c800 513,0=0000c8 -1,0=c8c800 767,384=c80000 768,383=c8c800
}
