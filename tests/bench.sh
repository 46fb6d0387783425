#!/bin/sh
# SPDX-License-Identifier: MIT
# make bench: gpudom-worker beside memcpy and QEMU's contrib vhost-user-gpu.
# usage: tests/bench.sh [option of gpudom-bench]...
#
# PEER=PATH takes that vhost-user-gpu; PEER=none measures without. By default it is the one
# of this machine's Debian release, unpacked (not installed) from qemu-system-gui, so
# that both back ends run on the same virglrenderer and Mesa. PEER_SUITE=trixie takes that
# release's instead, with its own libraries. BUILD: build/release.
. "$(dirname -- "$0")/system/lib.sh"
root=$(cd -- "$(dirname -- "$0")/.." && pwd)
build=${BUILD:-$root/build/release}

vhost_user_gpu=/usr/lib/qemu/vhost-user-gpu
arch=$(dpkg --print-architecture)

# find_peer: prints the path of this release's vhost-user-gpu, which it fetches where it is missing
find_peer() {
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	unpacked=$cache/vhost-user-gpu-$suite
	if [ -x $vhost_user_gpu ]; then
		echo $vhost_user_gpu
		return
	fi
	if [ ! -x "$unpacked$vhost_user_gpu" ]; then
		# What it links to beside what gpudom needs
		need_packages libpixman-1-0 libnuma1
		unpack_debs "$unpacked" "$(fetch_deb "$suite" "$arch" qemu-system-gui)"
	fi
	echo "$unpacked$vhost_user_gpu"
}

# find_foreign_peer SUITE: another release's, with all that it needs; prints the path of a script
find_foreign_peer() {
	unpacked=$cache/vhost-user-gpu-$1
	if [ ! -x "$unpacked/run" ]; then
		debs=$(fetch_debs "$1" "$arch" libc6 libglib2.0-0 libpixman-1-0 libepoxy0 libgbm1 \
			libvirglrenderer1 libnuma1 libegl1 libegl-mesa0 libgl1-mesa-dri libgles2)
		# shellcheck disable=SC2086 # a list of paths
		unpack_debs "$unpacked" $debs "$(fetch_deb "$1" "$arch" qemu-system-gui)"
		lib=$(dirname "$(ls "$unpacked"/usr/lib/*/libc.so.6)")
		cat >"$unpacked/run" <<-EOT
			#!/bin/sh
			export LIBGL_DRIVERS_PATH='$lib/dri' GBM_BACKENDS_PATH='$lib/gbm'
			export __EGL_VENDOR_LIBRARY_DIRS='$unpacked/usr/share/glvnd/egl_vendor.d'
			exec '$(find "$unpacked/usr" -name "ld-linux-*.so.?" | head -n 1)' \
				--library-path '$lib' '$unpacked$vhost_user_gpu' "\$@"
		EOT
		chmod +x "$unpacked/run"
	fi
	echo "$unpacked/run"
}

case ${PEER:-} in
none) ;;
'') if [ -n "${PEER_SUITE:-}" ]; then peer=$(find_foreign_peer "$PEER_SUITE"); else peer=$(find_peer); fi ;;
*) peer=$PEER ;;
esac
if [ -n "${peer:-}" ]; then
	"$peer" --print-capabilities >/dev/null 2>&1 ||
		die "$peer does not run: $("$peer" --print-capabilities 2>&1 | head -n 1)"
	say "peer: $peer"
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
