#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build-flask.sh
# Builds the FLASK policy: Xen's own, from build-xen.sh's source tree, with the module in
# configs/flask/. Under a second. Result: $tb/gpudom-policy.bin
. "$(dirname -- "$0")/env.sh"

src=$tb/xen-src/tools/flask dir=$tb/xen-src/tools/flask/policy-gpudom out=$tb/gpudom-policy.bin
made_from=$(stamp_of "$tb/xen.stamp" "$top/configs/flask/gpudom.if" "$top/configs/flask/gpudom.te")
if fresh "$out" "$made_from"; then
	say "FLASK policy: up to date"
	exit 0
fi
[ -d "$src" ] || die "no $src: run build-xen.sh first"
need_packages checkpolicy m4 make
rm -rf "$dir"
cp -r "$src/policy" "$dir"
mkdir "$dir/build"
cp "$top/configs/flask/gpudom.if" "$top/configs/flask/gpudom.te" "$dir/modules/"
echo 'gpudom = on' >>"$dir/modules/modules.conf"
make -s -C "$dir" -f Makefile.common FLASK_BUILD_DIR="$dir/build" XEN_FULLVERSION=x \
	>"$dir/log" 2>&1 || {
	cat "$dir/log" >&2
	die "the FLASK policy does not build"
}
cp "$dir/build/xenpolicy-x" "$out"
echo "$made_from" >"$out.stamp"
say "FLASK policy: $(stat -c %s "$out") bytes"
