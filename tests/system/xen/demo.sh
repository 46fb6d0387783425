#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: demo.sh [SECONDS]
# make xen-demo: on a real Xen (arm64, emulated), with FLASK in enforcing mode, an unmodified guest
# draws the glmark2 horse on its virtio-gpu output; gpudom renders it in a driver domain, and
# xen-demo.png is what it shows in the middle of the scene. SECONDS: how long the guest draws (default
# 20). The first run builds Xen and a kernel, in about 12 minutes; later ones take 2.
. "$(dirname -- "$0")/env.sh"
seconds=${1:-20}

dir=$top/build/xen/demo png=$top/xen-demo.png
"$here/build.sh"
need_packages gcc libpng-dev
mkdir -p "$top/build/xen"
${CC:-gcc} -O2 -o "$top/build/xen/check_png" "$here/../check_png.c" -lpng
rm -f "$png"
say "booting Xen, a driver domain and a guest under QEMU"
"$here/boot.sh" -q -d "$dir" -t ${LIMIT:-600} -a "$top/build/arm64/bin" -e "seconds=$seconds" \
	"$here/scenarios/demo.sh"

console() { sed -n "s/\r//;$1" "$dir/out/guest-guest.log"; }
renderer=$(console 's/^ *GL_RENDERER: *//p')
frame_ms=$(console 's/^\[build\].*FrameTime: *\([0-9.]*\) ms.*/\1/p')
[ -s "$dir/out/xen-demo.png" ] || die "no picture; see $dir"
case $renderer in
*virgl*) ;;
*) die "the guest renders with '$renderer', not with virgl; see $dir" ;;
esac
# The horse is shaded: a blank screen, or the console, has a handful of colours.
"$top/build/xen/check_png" "$dir/out/xen-demo.png" 'colours>100' 'drawn>10000' >&2 ||
	die "the picture does not show the horse: $dir/out/xen-demo.png"
cp "$dir/out/xen-demo.png" "$png"
cat <<EOT

	The guest's GL_RENDERER   $renderer
	Frames                    $(echo "$seconds $frame_ms" | awk '{ printf "%.0f in %d s of the guest (%.1f a second)", $1 * 1000 / $2, $1, 1000 / $2 }')
	Unpaused to first frame   $(sed -n 's/.*@ the first frame is on its output \(.*\) after.*/\1/p' "$dir/console.log")
	Refused by FLASK          $(wc -l <"$dir/out/avc.log")
	The picture               $png
	Time for all of this      $(($(date +%s) - started)) seconds
EOT
[ ! -s "$dir/out/avc.log" ]
