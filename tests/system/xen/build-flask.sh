#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build-flask.sh
# Builds the FLASK policy: Xen's own, from build-xen.sh's source tree, with the module in
# configs/flask/. Under a second. Results: $tb/gpudom-policy.bin, and gpudom-policy-foreign.bin, which lets
# gpudom map all memory of its guests (grant_usage=0).
. "$(dirname -- "$0")/env.sh"

src=$tb/xen-src/tools/flask out=$tb/gpudom-policy.bin
made_from=$(stamp_of "$tb/xen.stamp" "$top/configs/flask/gpudom.if" "$top/configs/flask/gpudom.te" "$0")
if fresh "$out" "$made_from"; then
	say "FLASK policy: up to date"
	exit 0
fi
[ -d "$src" ] || die "no $src: run build-xen.sh first"
need_packages checkpolicy m4 make

# build VARIANT RULE
build() {
	dir=$src/policy-gpudom$1
	rm -rf "$dir"
	cp -r "$src/policy" "$dir"
	mkdir "$dir/build"
	cp "$top/configs/flask/gpudom.if" "$top/configs/flask/gpudom.te" "$dir/modules/"
	echo "$2" >>"$dir/modules/gpudom.te"
	echo 'gpudom = on' >>"$dir/modules/modules.conf"
	make -s -C "$dir" -f Makefile.common FLASK_BUILD_DIR="$dir/build" XEN_FULLVERSION=x \
		>"$dir/log" 2>&1 || {
		cat "$dir/log" >&2
		die "the FLASK policy does not build"
	}
	cp "$dir/build/xenpolicy-x" "$tb/gpudom-policy$1.bin"
}
build -foreign 'gpudom_serve_foreign(gpudom_t, gpuguest_t)'
build '' ''
echo "$made_from" >"$out.stamp"
say "FLASK policy: $(stat -c %s "$out") bytes"
