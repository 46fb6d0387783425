#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build-kernel.sh
# Cross-builds the small arm64 kernel of dom0, the driver domain and the guest from Debian's
# linux-source package with kernel.config; its drivers are unmodified. 8 minutes on two cores.
# Result: $tb/Image; $tb/kbuild, for modules of the tests
. "$(dirname -- "$0")/env.sh"

kv=6.12 src=$tb/linux-source-6.12 out=$tb/kbuild
made_from=$(stamp_of "$suite" $kv "$(meaning "$here/kernel.config")")
if fresh "$tb/Image" "$made_from" && [ -e "$out/Module.symvers" ]; then
	say "kernel: up to date"
	exit 0
fi
need_packages gcc-aarch64-linux-gnu make flex bison bc libelf-dev libssl-dev xz-utils python3 \
	kmod rsync cpio

if [ ! -e "$src/Makefile" ]; then
	say "fetching the source of Linux $kv ($suite)"
	deb=$(fetch_deb "$suite" arm64 linux-source-$kv)
	say "unpacking it"
	rm -rf "$src"
	dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/linux-source-$kv.tar.xz" |
		tar -xJ -C "$tb"
	[ -e "$src/Makefile" ] || die "no kernel source in $src"
	rm -f "$deb"
fi

mk() { make -s -C "$src" O="$out" ARCH=arm64 CROSS_COMPILE=$cross -j"$jobs" "$@" >>"$tb/kernel.log" 2>&1; }
fail() {
	tail -n 30 "$tb/kernel.log" >&2
	die "the kernel does not build"
}
: >"$tb/kernel.log"
mkdir -p "$out"
mk KCONFIG_ALLCONFIG="$here/kernel.config" allnoconfig || fail
grep '=y' "$here/kernel.config" | while read -r o; do
	grep -qx "$o" "$out/.config" || say "warning: Kconfig dropped $o"
done

say "building the kernel (8 minutes on two cores, once; log: $tb/kernel.log)"
mk Image modules 9>&- &
pid=$! n=0
while kill -0 "$pid" 2>/dev/null; do
	sleep 1
	n=$((n + 1))
	# A sign of life each half minute.
	[ $((n % 30)) -ne 0 ] || say "  $(find "$out" -name '*.o' | wc -l) of about 1250 object files"
done
wait "$pid" || fail
cp "$out/arch/arm64/boot/Image" "$tb/Image"
echo "$made_from" >"$tb/Image.stamp"
say "kernel: $(cat "$out/include/config/kernel.release"), $(($(stat -c %s "$tb/Image") >> 10)) KiB"
