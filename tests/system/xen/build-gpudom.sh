#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build-gpudom.sh
# Cross-builds our programs and those of tests/system/guest/ for arm64 against the sysroot of
# build-rootfs.sh. Results, stripped:
# build/arm64/bin/, which domains (and the machine of ../seat/vm.sh) see as /share/bin.
# ALSO="unit/x_test ...": tests to be built, too
. "$(dirname -- "$0")/env.sh"

root=$tb/sysroot lib=$tb/sysroot/usr/lib/$triplet build=build/arm64
[ -d "$lib" ] || die "no $root: run build-rootfs.sh first"
need_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross make pkg-config

# Debian's cross gcc looks in its own libc's headers before the sysroot's: name every folder.
cc="${cross}gcc --sysroot=$root -nostdinc -isystem $(${cross}gcc -print-file-name=include)
	-isystem $root/usr/include/$triplet -isystem $root/usr/include
	-B$lib -L$lib -Wl,-rpath-link,$lib"
cc=$(printf '%s' "$cc" | tr '\n\t' '  ')

# With a change of compiler, flags or sysroot, all objects are of the past.
made_from=$(stamp_of "$cc" "$tb/sysroot.stamp" "$0")
cd "$top"
fresh "$build" "$made_from" || rm -rf "$build"
mkdir -p "$build/bin"
echo "$made_from" >"$build.stamp"

say "cross-building gpudom for arm64"
programs='gpudomd gpudom-worker gpudom-keeper gpudomctl'
[ ! -e tools/gpudom_seat.c ] || programs="$programs gpudom-seat"
also=''
for t in ${ALSO:-}; do also="$also $build/$t"; done
export PKG_CONFIG_LIBDIR="$lib/pkgconfig:$root/usr/share/pkgconfig"
export PKG_CONFIG_SYSROOT_DIR="$root"
# Apart from a make that may have called us: its variables are for this machine.
# shellcheck disable=SC2086 # lists
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
	make -s -j"$jobs" BUILD="$build" CC="$cc" AR="${cross}ar" ${WERROR:+WERROR="$WERROR"} \
	$programs compromised $also
for p in $programs gpudom-worker-compromised ${ALSO:-}; do
	${cross}strip -o "$build/bin/${p##*/}" "$build/$p"
done

# What the tests run in dom0, in the driver domain and in the guest.
set -f # the compiler's command is a list of words
program() { # NAME SOURCE... -- FLAG...
	out=$build/bin/$1 flags='' files=''
	shift
	while [ "$1" != -- ]; do
		files="$files $1"
		shift
	done
	shift
	[ $# -eq 0 ] || flags=$*
	# shellcheck disable=SC2086 # lists of words
	$cc -s -std=gnu11 -O2 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-parameter \
		-I"$root/usr/include/libdrm" -o "$out" $files $flags
}
guest=tests/system/guest
program pixels $guest/pixels.c $guest/pixels_gl.c $guest/screen.c -- -ldrm -lgbm -lEGL -lGLESv2
program kicks $guest/kicks.c --
program frames $guest/frames.c $guest/pixels_gl.c $guest/screen.c -- -ldrm -lgbm -lEGL -lGLESv2
program flips $guest/flips.c $guest/screen.c -- -ldrm
program check_png tests/system/check_png.c -- -lpng16
program refusals tests/system/xen/refusals.c -- -D__XEN_TOOLS__ \
	-lxendevicemodel -lxenforeignmemory -lxengnttab -lxenevtchn -lxentoolcore
program xen_script tests/system/xen/xen_script_main.c tests/xen/xen_script.c xen/privcmd.c xen/gntdev.c -- \
	-iquote . -D__XEN_TOOLS__ \
	-lxendevicemodel -lxenforeignmemory -lxengnttab -lxenevtchn -lxenstore -lxentoolcore
cp tests/xen/xen_script.expected $build/bin/
seat=tests/system/seat/tools
own="-iquote . -Wl,--start-group $build/libloopback.a $build/libgpudom.a -Wl,--end-group -lsystemd -lpng16 -ljson-c -lpthread"
# shellcheck disable=SC2086 # a list
{
	program seat_guest $seat/seat_guest.c $seat/seat_link.c $seat/numbers.c -- $own
	program seat_input_guest $seat/seat_input_guest.c $seat/seat_link.c $seat/fake_input.c $seat/numbers.c -- $own
	program seat_tell $seat/seat_tell.c $seat/seat_link.c -- $own
	program fake_input $seat/fake_input_main.c $seat/fake_input.c -- -iquote .
	program kms_grab $seat/kms_grab.c -- $own -ldrm
	program kms_hold $seat/kms_hold.c -- -ldrm
	program kms_show $seat/kms_show.c -- $own -ldrm -ludev -lseat
}

# The hostile guest's kernel module, against the test bed's kernel.
set +f
mkdir -p $build/hostile
cp -pu tests/system/guest/hostile/* $build/hostile/
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$tb/linux-source-6.12" O="$tb/kbuild" ARCH=arm64 CROSS_COMPILE=$cross \
	M="$top/$build/hostile" modules
cp $build/hostile/hostile.ko $build/bin/
