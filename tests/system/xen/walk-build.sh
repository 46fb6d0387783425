#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: walk-build.sh
# The part of xl-gpudom(7) that is not done on the Xen host: takes the page's commands, and runs those
# behind build$, with a cross compiler for arm64 and against the test bed's libraries. Results in
# build/xen/walk-tree: walk/ (the commands for boot.sh -a), gpudom.tar, policy/xenpolicy-gpudom
. "$(dirname -- "$0")/env.sh"

tree=$top/build/xen/walk-tree root=$tb/sysroot lib=$tb/sysroot/usr/lib/$triplet
[ -d "$lib" ] && [ -d "$tb/xen-src" ] || die "run build.sh first"
need_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross make pkg-config scdoc checkpolicy m4
rm -rf "$tree"
mkdir -p "$tree/xen/tools" "$tree/xen/xen/xsm/flask"
ln -s "$top" "$tree/gpudom"
# Of Xen's source, what the policy is made from.
cp -r "$tb/xen-src/tools/flask" "$tree/xen/tools/"
cp -r "$tb/xen-src/xen/xsm/flask/policy" "$tree/xen/xen/xsm/flask/"
say "xl-gpudom(7): $("$here/walk-commands.sh" "$top/man/xl-gpudom.7.scd" "$tree/walk" |
	sed 's/\([0-9]*\) \([0-9]*\)/\1 commands to run, \2 that cannot be tried here/')"

# As in build-gpudom.sh, whose objects these are.
cc="${cross}gcc --sysroot=$root -nostdinc -isystem $(${cross}gcc -print-file-name=include)
	-isystem $root/usr/include/$triplet -isystem $root/usr/include
	-B$lib -L$lib -Wl,-rpath-link,$lib"
CC=$(printf '%s' "$cc" | tr '\n\t' '  ')
export CC AR="${cross}ar" BUILD=build/arm64
export PKG_CONFIG_LIBDIR="$lib/pkgconfig:$root/usr/share/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root"
cd "$tree"
for command in walk/*.build; do
	say "build\$ $(cat "$command")"
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL sh -e "$command" >"$command.log" 2>&1 || {
		tail -n 20 "$command.log" >&2
		die "xl-gpudom(7): this command fails: $(cat "$command")"
	}
	rm -f "$command.log"
done
[ -s policy/xenpolicy-gpudom ] && [ -s gpudom.tar ] || die "the page's commands left no policy or no archive"
