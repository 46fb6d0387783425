#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs fuzzers (libFuzzer), each for some seconds, on a temporary copy of its corpus.
# usage: tests/fuzz/run.sh SECONDS PROGRAM...
#
# The seeds of x_fuzz are in tests/fuzz/corpus/x/. A finding's input is kept in
# build/findings/ and makes the run fail.
set -u
[ "${1:-}" != --help ] || { sed -n '3,7s/^# \{0,1\}//p' "$0"; exit 0; }
seconds=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
findings=$here/../../build/findings
mkdir -p "$findings"
findings=$(cd "$findings" && pwd)

export ASAN_OPTIONS="detect_leaks=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
export LSAN_OPTIONS="suppressions=$here/../lsan.supp:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0
for program; do
	name=$(basename "$program") corpus=$work/corpus
	rm -rf "$corpus"
	mkdir "$corpus"
	[ ! -d "$here/corpus/${name%_fuzz}" ] || cp "$here/corpus/${name%_fuzz}/"* "$corpus/"
	printf '%-20s ' "$name"
	status=0
	timeout -k 10 $((seconds + 120)) "$program" -max_total_time="$seconds" -timeout=20 \
		-rss_limit_mb=4096 -close_fd_mask=2 -print_funcs=0 \
		-print_final_stats=1 -artifact_prefix="$findings/$name-" \
		"$corpus" >"$work/log" 2>&1 || status=$?
	executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log" | tail -n 1)
	cov=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$work/log" | tail -n 1)
	if [ "$status" -eq 0 ] && [ "${executions:-0}" -gt 0 ]; then
		echo "$executions executions, $cov edges, no findings"
	else
		echo "FAILED (status $status, ${executions:-0} executions)"
		grep -v '^guest\|^<[0-7]>' "$work/log" | tail -n 60 | sed 's/^/    /'
		failed=1
	fi
done
exit $failed
