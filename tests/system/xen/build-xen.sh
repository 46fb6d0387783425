#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build-xen.sh
# Builds the arm64 hypervisor from Debian's xen source with xen.config: Debian's own binary lacks
# IOREQ_SERVER, so no virtio backend can attach to a guest. About a minute.
# Results: $tb/xen, $tb/xen-src (FLASK's policy is built from it).
. "$(dirname -- "$0")/env.sh"

src=$tb/xen-src
made_from=$(stamp_of "$suite" "$(meaning "$here/xen.config")")
if fresh "$tb/xen" "$made_from" && [ -d "$src" ]; then
	say "hypervisor: up to date"
	exit 0
fi
need_packages gcc-aarch64-linux-gnu make flex bison bc patch dpkg-dev xz-utils python3

if [ ! -e "$src/.patched" ]; then
	say "fetching the source of xen ($suite)"
	APT_CONFIG=$(apt_conf "$suite" source)
	export APT_CONFIG
	rm -f "$tb"/xen_*.tar.xz
	# Some mirrors do not carry the .dsc; the tarballs are all that is needed, and apt checks
	# their hashes against the signed index.
	(cd "$tb" && apt-get -qq -d source xen >"$tb/xen-fetch.log" 2>&1) || true
	for f in "$tb"/xen_*.orig.tar.xz "$tb"/xen_*.debian.tar.xz; do
		[ -e "$f" ] || {
			cat "$tb/xen-fetch.log" >&2
			die "cannot fetch the source of xen"
		}
	done
	rm -rf "$src"
	mkdir -p "$src"
	tar -xJf "$tb"/xen_*.orig.tar.xz -C "$src" --strip-components=1
	tar -xJf "$tb"/xen_*.debian.tar.xz -C "$src"
	sed 's/#.*//;/^ *$/d' "$src/debian/patches/series" | while read -r p; do
		patch -s -p1 -d "$src" <"$src/debian/patches/$p" || die "cannot apply $p"
	done
	touch "$src/.patched"
fi

mk() { make -s -C "$src/xen" XEN_TARGET_ARCH=arm64 CROSS_COMPILE=$cross -j"$jobs" "$@" >>"$tb/xen.log" 2>&1; }
: >"$tb/xen.log"
say "building the hypervisor (1 minute; log: $tb/xen.log)"
mk KCONFIG_ALLCONFIG="$here/xen.config" alldefconfig && mk || {
	tail -n 30 "$tb/xen.log" >&2
	die "the hypervisor does not build"
}
grep '=y' "$here/xen.config" | while read -r o; do
	grep -qx "$o" "$src/xen/.config" || say "warning: Kconfig dropped $o"
done
cp "$src/xen/xen" "$tb/xen"
echo "$made_from" >"$tb/xen.stamp"
say "hypervisor: $(($(stat -c %s "$tb/xen") >> 10)) KiB"
