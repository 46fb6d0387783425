#!/bin/sh
# SPDX-License-Identifier: MIT
# Packs a built test with the libraries that it needs, to run it on a GPU machine that has a driver
# and little else.
# usage: tests/device/pack.sh DIR [PROGRAM...]    (default: build/release/device/virgl_test)
#
# There, DIR/run PROGRAM [argument...] runs one; GPUDOM_EGL=device takes a proprietary driver's
# EGL device. The C library is the machine's own: it must not be older than this one's.
set -eu
[ $# -ge 1 ] && [ "$1" != --help ] || { sed -n '3,8s/^# \{0,1\}//p' "$0"; exit 0; }
cd "$(dirname "$0")/../.."
dir=$1
shift
[ $# -gt 0 ] || set -- build/release/device/virgl_test
mkdir -p "$dir/lib"

# The C library and the loader stay at home; libstdc++ is not needed.
libraries() {
	ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' |
		grep -Ev '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*)\.so'
}

for program; do
	cp "$program" "$dir/"
	libraries "$program" | while read -r library; do cp -L "$library" "$dir/lib/"; done
done
# libepoxy opens these by name.
for name in libEGL.so.1 libOpenGL.so.0 libGL.so.1 libGLX.so.0 libGLdispatch.so.0 libGLESv2.so.2; do
	path=$(ldconfig -p | awk -v name="$name" '$1 == name { print $NF; exit }')
	[ -z "$path" ] || { cp -L "$path" "$dir/lib/"; libraries "$path" |
		while read -r library; do cp -L "$library" "$dir/lib/"; done; }
done

cat >"$dir/run" <<'END'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
for json in /usr/share/glvnd/egl_vendor.d/10_nvidia.json \
	/usr/local/nvidia/share/glvnd/egl_vendor.d/10_nvidia.json; do
	[ ! -e "$json" ] || export __EGL_VENDOR_LIBRARY_FILENAMES="$json"
done
export LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
program=$1
shift
exec "$here/$program" "$@"
END
chmod +x "$dir/run"
