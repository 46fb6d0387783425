#!/bin/sh
# SPDX-License-Identifier: MIT
# What is left out at build time is not in the binaries: builds gpudomd and gpudom-worker with
# WITH_VIRGL=0 WITH_USDT=0, and looks into them.
# usage: tests/build-variants.sh
set -u
[ "${1:-}" != --help ] || { sed -n '3,5s/^# \{0,1\}//p' "$0"; exit 0; }
cd "$(dirname -- "$0")/.." || exit 1
build=build/no-virgl
passed=0 failed=0

# check WHAT COMMAND...
check() {
	what=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $what"
	fi
}

# lacks PATTERN COMMAND...: the command works, and says nothing of the kind. A pipe would hide its failure.
lacks() {
	pattern=$1
	shift
	out=$("$@" 2>&1) || { echo "$out"; return 1; }
	! echo "$out" | grep -iE "$pattern"
}

has() {
	pattern=$1
	shift
	out=$("$@" 2>&1) || { echo "$out"; return 1; }
	echo "$out" | grep -qE "$pattern" || { echo "$out"; return 1; }
}

# fails PATTERN COMMAND...: it refuses, and says why.
fails() {
	pattern=$1
	shift
	! out=$("$@" 2>&1) || { echo "$out"; return 1; }
	echo "$out" | grep -qE "$pattern" || { echo "$out"; return 1; }
}

if ! make -j2 BUILD="$build" WITH_VIRGL=0 WITH_USDT=0 gpudom-worker gpudomd gpudomctl gpudom-bench; then
	echo "0 passed, 1 failed"
	exit 1
fi
worker=$build/gpudom-worker
gl='lib(virglrenderer|EGL|GL|epoxy|gbm)'
# Not loopback's virgl_*(), which write what a guest would
symbols=' [tTuUwW] (virgl_renderer_|virgl_create$|egl|gbm_|epoxy_|gl[A-Z])'
conf=$(mktemp) || exit 1
trap 'rm -f "$conf"' EXIT
printf '[default]\ncapsets = virgl2\n[guest x]\nrenderer = virgl\n' >"$conf"

for program in gpudom-worker gpudomd gpudomctl gpudom-bench; do
	check "$program needs no GL" lacks "$gl" ldd "$build/$program"
	check "$program has no code of it" lacks "$symbols" nm "$build/$program"
	check "$program has no tracepoints" lacks 'Provider: gpudom' readelf -n "$build/$program"
done
check "capabilities" has '"capsets": \[\]' "$worker" --print-capabilities
check "capabilities name no virgl" lacks 'virgl' "$worker" --print-capabilities
check "help says so" has 'this build has no virgl' "$worker" --help
check "--renderer=virgl is refused" fails 'this build has no virgl' \
	"$worker" --renderer=virgl --socket-path=/dev/null/none
check "the configuration's capsets are a warning" has "$conf:2: this build of gpudom has no virgl2" \
	"$build/gpudomd" --check-config --config="$conf"
check "and so is its renderer" has "$conf:4: this build of gpudom has no virgl" \
	"$build/gpudomd" --check-config --config="$conf"
# These tests would find what they look for.
full=${FULL_BUILD:-build/release}
if [ -x "$full/gpudom-worker" ]; then
	check "the full build needs GL" has "$gl" ldd "$full/gpudom-worker"
	check "the full build has its code" has "$symbols" nm "$full/gpudom-worker"
	check "and its tracepoints" has 'Provider: gpudom' readelf -n "$full/gpudom-worker"
	check "and says so" has '"virgl2"' "$full/gpudom-worker" --print-capabilities
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
