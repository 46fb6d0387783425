#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs fuzzers (libFuzzer), each for some seconds, on a temporary copy of its corpus; as many at a
# time as there are CPUs (JOBS).
# usage: tests/fuzz/run.sh SECONDS PROGRAM...
#
# The seeds of x_fuzz are in tests/fuzz/corpus/x/. A finding's input is kept in
# build/findings/ and makes the run fail.
set -u
here=$(cd "$(dirname "$0")" && pwd)

# run_one DIR SECONDS PROGRAM: 1 when there are findings.
run_one() {
	name=$(basename "$3") work=$1/$(basename "$3")
	mkdir -p "$work/corpus"
	[ ! -d "$here/corpus/${name%_fuzz}" ] || cp "$here/corpus/${name%_fuzz}/"* "$work/corpus/"
	status=0
	timeout -k 10 $(($2 + 120)) "$3" -max_total_time="$2" -timeout=20 \
		-rss_limit_mb=4096 -close_fd_mask=2 -print_funcs=0 \
		-print_final_stats=1 -artifact_prefix="$findings/$name-" \
		"$work/corpus" >"$work/log" 2>&1 || status=$?
	executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log" | tail -n 1)
	cov=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$work/log" | tail -n 1)
	if [ "$status" -eq 0 ] && [ "${executions:-0}" -gt 0 ]; then
		printf '%-20s %s\n' "$name" "$executions executions, $cov edges, no findings"
		return 0
	fi
	{
		flock 9
		printf '%-20s %s\n' "$name" "FAILED (status $status, ${executions:-0} executions)"
		grep -v '^guest\|^<[0-7]>' "$work/log" | tail -n 60 | sed 's/^/    /'
	} 9>>"$1/lock"
	return 1
}

case ${1:-} in
--help)
	sed -n '3,8s/^# \{0,1\}//p' "$0"
	exit 0
	;;
--one)
	run_one "$2" "$3" "$4"
	exit
	;;
esac

findings=$here/../../build/findings
mkdir -p "$findings"
findings=$(cd "$findings" && pwd)
export findings
export ASAN_OPTIONS="detect_leaks=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
export LSAN_OPTIONS="suppressions=$here/../lsan.supp:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"

seconds=$1
shift
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# xargs ends with 123 where one of them has failed.
printf '%s\n' "$@" | xargs -P "${JOBS:-$(nproc)}" -n 1 -d '\n' "$0" --one "$work" "$seconds" || exit 1
