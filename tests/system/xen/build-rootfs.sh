#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build-rootfs.sh
# Makes one read-only arm64 userland (squashfs) for dom0, the driver domain and the guest, and an
# arm64 sysroot for cross-building. Packages are unpacked, never configured: no arm64 code runs.
# Results: $tb/root.sqfs, $tb/sysroot. About a minute, mostly downloads.
. "$(dirname -- "$0")/env.sh"

# Run time: tools of dom0, libraries of gpudom, programs of the guest.
packages="base-files busybox bash coreutils util-linux mount kmod iproute2 strace procps
	xen-utils-4.20 xenstore-utils libxenstore4 libxendevicemodel1
	libxenforeignmemory1 libxengnttab1 libxenevtchn1 libxencall1
	libvirglrenderer1 libegl1 libegl-mesa0 libgles2 libgl1 libgbm1
	libgl1-mesa-dri libdrm2 libdrm-tests libinput10 libudev1
	libpng16-16t64 libsystemd0 libinih1 libjson-c5 libseccomp2
	udev systemd-standalone-sysusers systemd-standalone-tmpfiles jq
	libseat1 libpixman-1-0 libwayland-client0 libxkbcommon0 kbd
	kmscube glmark2-es2-drm weston seatd libcmocka0 fonts-dejavu-core"
# Build time only.
packages_dev="libc6-dev linux-libc-dev libgcc-14-dev libxen-dev libdrm-dev
	libvirglrenderer-dev libepoxy-dev libgbm-dev libegl-dev libgles-dev
	libinput-dev libudev-dev libpng-dev libsystemd-dev libinih-dev libjson-c-dev
	libseccomp-dev libpixman-1-dev libseat-dev libwayland-dev libxkbcommon-dev
	libcmocka-dev"

need_packages dpkg squashfs-tools

# unpack DIR PACKAGE...: the packages and all that they depend on into an empty DIR.
unpack() {
	dir=$1
	shift
	made_from=$(stamp_of "$suite" "$*")
	if fresh "$dir" "$made_from"; then return 0; fi
	say "fetching and unpacking packages into ${dir##*/}"
	debs=$(fetch_debs "$suite" arm64 "$@")
	rm -rf "$dir"
	# shellcheck disable=SC2086 # lists of names without blanks
	unpack_debs "$dir" $debs
	echo "$made_from" >"$dir.stamp"
	rm -f "$tb/root.sqfs"
}

# What maintainer scripts would have done, as far as it matters here.
finish_root() {
	r=$1
	for d in dev proc sys run tmp mnt share var/log/xen var/lib/xen etc root; do
		mkdir -p "$r/$d"
	done
	rm -rf "$r/var/run"
	ln -s /run "$r/var/run"
	# busybox provides what no package above does.
	for a in sh mount umount vi less ifconfig ps top halt reboot dmesg free find grep sed awk \
		hexdump devmem stty setsid tar gzip which cttyhack getty xxd; do
		[ -e "$r/usr/bin/$a" ] || [ -e "$r/usr/sbin/$a" ] || ln -s busybox "$r/usr/bin/$a"
	done
	for f in "$r"/usr/lib/xen-*/bin/*; do
		b=${f##*/}
		[ -e "$r/usr/bin/$b" ] || ln -sf "${f#"$r"}" "$r/usr/sbin/$b"
	done
	# Linux runs /sbin/poweroff on "xl shutdown"; busybox' own would signal an init that does
	# not listen.
	rm -f "$r/usr/bin/poweroff" "$r/usr/sbin/poweroff"
	printf '#!/bin/busybox sh\nsync\nexec busybox poweroff -f\n' >"$r/usr/sbin/poweroff"
	chmod +x "$r/usr/sbin/poweroff"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$r/etc/passwd"
	echo 'root:x:0:' >"$r/etc/group"
	echo "/usr/lib/$triplet" >"$r/etc/ld.so.conf"
	cp "$here/init" "$r/init"
	chmod +x "$r/init"
}

# shellcheck disable=SC2086 # lists of names
{
	unpack "$tb/sysroot" $packages_dev
	unpack "$tb/root" $packages
}
made_from=$(stamp_of "$tb/root.stamp" "$here/init" "$0")
if ! fresh "$tb/root.sqfs" "$made_from"; then
	say "packing the root file system"
	finish_root "$tb/root"
	rm -f "$tb/root.sqfs"
	# lz4: under emulation, decompressing anything better costs more than reading it.
	mksquashfs "$tb/root" "$tb/root.sqfs" -comp lz4 -b 256K -all-root -noappend -quiet \
		-no-progress -e usr/share/icons usr/share/bash-completion
	echo "$made_from" >"$tb/root.sqfs.stamp"
fi
say "root file system: $(($(stat -c %s "$tb/root.sqfs") >> 20)) MiB"
