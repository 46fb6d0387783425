#!/bin/sh
# SPDX-License-Identifier: MIT
# Unpacks a QEMU into the cache, whatever Debian this is (Debian 12's own refuses vhost-user-gpu
# without KVM), and prints the path of a script that runs it there, by its own dynamic linker.
#   trixie   QEMU 10 without OpenGL: for the demo and the test
#   forky    QEMU 11 with in-process OpenGL (Mesa's llvmpipe where there is no GPU) and
#            contrib vhost-user-gpu: the benchmark's peers
# $GPUDOM_QEMU, if set, is printed instead.
# usage: qemu.sh trixie|forky
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
case ${1-} in
trixie) packages="qemu-system-x86" ;;
forky) packages="qemu-system-x86 qemu-system-modules-opengl libgl1-mesa-dri libegl1 libgles2" ;;
*) sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;;
esac
[ -z "${GPUDOM_QEMU-}" ] || {
	echo "$GPUDOM_QEMU"
	exit
}

q=$cache/qemu-$1
stamp=$(stamp_of "$0")
if [ "$(cat "$q/stamp" 2>/dev/null)" = "$stamp" ]; then
	echo "$q/qemu-system-x86_64"
	exit
fi
rm -rf "$q"
mkdir -p "$q"
say "downloading $1's QEMU"
# shellcheck disable=SC2086 # lists
debs=$(fetch_debs "$1" "$(dpkg --print-architecture)" $packages)
# vhost-user-gpu alone: the rest of its package is GTK and SDL.
[ "$1" != forky ] || debs="$debs $(fetch_deb "$1" "$(dpkg --print-architecture)" qemu-system-gui)"
say "unpacking it"
# shellcheck disable=SC2086
unpack_debs "$q/root" $debs

# Every path that the program and its libraries would look up outside the root is named here.
for l in "$q"/root/usr/lib/*-linux-gnu*; do [ -d "$l" ] && lib=$l; done
cat >"$q/run" <<-EOT
	#!/bin/sh
	export QEMU_MODULE_DIR='$lib/qemu' LIBGL_DRIVERS_PATH='$lib/dri' GBM_BACKENDS_PATH='$lib/gbm' \\
		__EGL_VENDOR_LIBRARY_DIRS='$q/root/usr/share/glvnd/egl_vendor.d'
	p=\$1
	shift
	exec '$(echo "$q"/root/usr/lib*/ld-linux-*.so.*)' --library-path '$lib' "\$p" "\$@"
EOT
cat >"$q/qemu-system-x86_64" <<-EOT
	#!/bin/sh
	exec '$q/run' '$q/root/usr/bin/qemu-system-x86_64' -L '$q/root/usr/share/qemu' \\
		-L '$q/root/usr/share/seabios' "\$@"
EOT
chmod +x "$q/run" "$q/qemu-system-x86_64"
"$q/qemu-system-x86_64" --version >"$q/version" || die "the unpacked QEMU does not run"
echo "$stamp" >"$q/stamp"
say "$(head -n 1 "$q/version"): $(du -sm "$q" | cut -f1) MB"
echo "$q/qemu-system-x86_64"
