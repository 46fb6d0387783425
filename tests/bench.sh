#!/bin/sh
# SPDX-License-Identifier: MIT
# make bench: gpudom-worker beside memcpy and QEMU's contrib vhost-user-gpu.
# usage: tests/bench.sh [option of gpudom-bench]...
#
# PEER=PATH takes that vhost-user-gpu; PEER=none measures without. By default it is the one
# of this machine's Debian release, unpacked (not installed) from qemu-system-gui, so
# that both back ends run on the same virglrenderer and Mesa. BUILD: build/release.
. "$(dirname -- "$0")/system/lib.sh"
root=$(cd -- "$(dirname -- "$0")/.." && pwd)
build=${BUILD:-$root/build/release}

# find_peer: prints the path of vhost-user-gpu, which it fetches where it is missing
find_peer() {
	installed=/usr/lib/qemu/vhost-user-gpu
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	unpacked=$cache/vhost-user-gpu-$suite
	if [ ! -x "$installed" ] && [ ! -x "$unpacked$installed" ]; then
		# What it links to beside what gpudom needs
		need_packages libpixman-1-0 libglib2.0-0 libnuma1 libvirglrenderer1 libepoxy0 libgbm1
		deb=$(fetch_deb "$suite" "$(dpkg --print-architecture)" qemu-system-gui)
		unpack_debs "$unpacked" "$deb"
	fi
	if [ -x "$installed" ]; then echo "$installed"; else echo "$unpacked$installed"; fi
}

case ${PEER:-} in
none) ;;
'') peer=$(find_peer) ;;
*) peer=$PEER ;;
esac
if [ -n "${peer:-}" ]; then
	v=$("$peer" --print-capabilities >/dev/null 2>&1 && dpkg-query -W -f '${Version}' libvirglrenderer1) ||
		die "$peer does not run: $("$peer" --print-capabilities 2>&1 | head -n 1)"
	say "peer: $peer, virglrenderer $v"
	set -- --peer="$peer" "$@"
fi
export LIBGL_ALWAYS_SOFTWARE=1 GBM_ALWAYS_SOFTWARE=1
say "load average $(cut -d ' ' -f 1-3 /proc/loadavg) on $(nproc) processors"
log=$cache/bench.log
# Ahead of whatever else runs here, where we may: in a session of its own, because Linux'
# autogroups make a nice value one within its session.
if [ "$(id -u)" -eq 0 ]; then
	set -- setsid -w sh -c '
		[ ! -w /proc/self/autogroup ] || echo -15 >/proc/self/autogroup
		exec nice -n -15 "$@"' sh "$build/gpudom-bench" --worker="$build/gpudom-worker" "$@"
else
	set -- "$build/gpudom-bench" --worker="$build/gpudom-worker" "$@"
fi
"$@" 2>"$log" || {
	cat "$log" >&2
	die "gpudom-bench failed"
}
