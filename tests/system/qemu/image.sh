#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the guest that the QEMU demo, test and benchmark boot: Debian trixie's stock kernel and
# Mesa, kmscube and glmark2, as packages unpacked into a squashfs (no maintainer script runs, no
# root is needed). A tiny initramfs holds busybox, the modules and guest-init. Prints the folder:
#   vmlinux  initrd  root.sqfs
# Everything is cached; it is built again when this script or guest-init changes.
# usage: image.sh [--help]
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
case ${1-} in -h | --help) sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;; esac

suite=trixie
packages="busybox-static kmscube glmark2-es2-drm libdrm-tests
	libgl1-mesa-dri libegl1 libgles2 libgbm1"
modules="virtio_pci virtio_blk squashfs virtio_gpu virtio_input evdev"
img=$cache/guest-amd64

stamp=$(stamp_of "$0" "$here/guest-init")
if [ "$(cat "$img/stamp" 2>/dev/null)" = "$stamp" ]; then
	echo "$img"
	exit
fi
need_packages squashfs-tools cpio kmod xz-utils zstd
mkdir -p "$img"
exec 9>"$img/lock"
flock 9
[ "$(cat "$img/stamp" 2>/dev/null)" != "$stamp" ] || {
	echo "$img"
	exit
}
tmp=$(mktemp -d "$img/tmp.XXXXXX")
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT

say "downloading the guest: $suite's kernel, Mesa, glmark2 (about 180 MB)"
# shellcheck disable=SC2086 # lists
debs=$(fetch_debs $suite amd64 $packages)
meta=$(fetch_deb $suite amd64 linux-image-amd64)
kernel=$(fetch_deb $suite amd64 "$(dpkg-deb -f "$meta" Depends | cut -d' ' -f1)")

say "unpacking it"
# shellcheck disable=SC2086
unpack_debs "$tmp/root" $debs
unpack_debs "$tmp/kernel" "$kernel"
for d in dev proc sys run tmp root etc; do mkdir -p "$tmp/root/$d"; done
echo 'root:x:0:0:root:/tmp:/bin/sh' >"$tmp/root/etc/passwd"
echo /usr/lib/x86_64-linux-gnu >"$tmp/root/etc/ld.so.conf"
mksquashfs "$tmp/root" "$tmp/root.sqfs" -comp lz4 -b 128K -all-root -noappend -quiet \
	-no-progress -e usr/share/icons usr/share/iso-codes usr/share/xml usr/share/zoneinfo
# The kernel unpacked, for QEMU's direct (PVH) start: emulation would take seconds over it. Where
# it lies is in the header: setup_sects, payload_offset, payload_length (Linux' x86 boot protocol).
header() { od -An -j "$1" -N "$2" -t "u$2" "$tmp"/kernel/boot/vmlinuz-* | tr -d ' '; }
tail -c "+$((($(header 497 1) + 1) * 512 + $(header 584 4) + 1))" "$tmp"/kernel/boot/vmlinuz-* |
	head -c "$(($(header 588 4) - 4))" | zstd -dq >"$tmp/vmlinux" || die "no vmlinux in this kernel"

k=$(ls "$tmp/kernel/usr/lib/modules")
PATH=$PATH:/sbin:/usr/sbin
depmod -b "$tmp/kernel" "$k"
i=$tmp/initrd.d
mkdir -p "$i/bin" "$i/m" "$i/proc" "$i/sys" "$i/dev" "$i/new"
cp "$tmp/root/usr/bin/busybox" "$i/bin/"
# insmod order; virtio_gpu and what it needs are loaded after the root is there
for m in $modules; do
	modprobe -C /dev/null -d "$tmp/kernel" -S "$k" --show-depends "$m" | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r m; do
	f=$(basename "$m" .xz)
	xz -dc "$m" >"$i/m/$f"
	echo "$f"
done >"$i/m/list"
cp "$here/guest-init" "$i/init"
chmod +x "$i/init"
(cd "$i" && find . | cpio -o -H newc --quiet -R 0:0) | zstd -q -1 >"$tmp/initrd"

mv "$tmp/vmlinux" "$tmp/initrd" "$tmp/root.sqfs" "$img/"
echo "$stamp" >"$img/stamp"
say "guest image: $(du -m "$img/root.sqfs" | cut -f1) MB root, $(du -m "$img/initrd" | cut -f1) MB initramfs, kernel $k"
echo "$img"
