#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs test programs (cmocka) and sums up what they report.
# usage: tests/run.sh PROGRAM...
#
# A program fails that reports a failed test, exits with a status other than 0 (a sanitizer's
# finding, a crash) or outlasts TEST_TIMEOUT seconds (default 300).
set -u
[ "${1:-}" != --help ] || { sed -n '3,7s/^# \{0,1\}//p' "$0"; exit 0; }
here=$(cd "$(dirname "$0")" && pwd)

export ASAN_OPTIONS="abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
export LSAN_OPTIONS="suppressions=$here/lsan.supp:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"
export CMOCKA_MESSAGE_OUTPUT=STDOUT
export LIBGL_ALWAYS_SOFTWARE=1 GBM_ALWAYS_SOFTWARE=1

out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
passed=0 failed=0
for program; do
	name=${program#*/build/} name=${name#build/}
	printf '%-40s ' "$name"
	status=0
	timeout -k 5 "${TEST_TIMEOUT:-300}" "$program" >"$out" 2>&1 || status=$?
	# cmocka: "[  PASSED  ] 12 test(s)." and "[  FAILED  ] 1 test(s), listed below:" (or "tests:")
	p=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$out" | tail -n 1)
	f=$(sed -n 's/^\[  FAILED  \] [^:]*[: ]*\([0-9][0-9]*\) test(s), listed below:.*/\1/p' "$out" | tail -n 1)
	p=${p:-0} f=${f:-0}
	if [ "$status" -ne 0 ] || [ "$f" -ne 0 ] || [ "$p" -eq 0 ]; then
		# A crash counts as one failure; so does a program that ran no test.
		[ "$f" -ne 0 ] || f=1
		case $status in
		124 | 137) why="stopped after ${TEST_TIMEOUT:-300} s" ;;
		*) why="status $status" ;;
		esac
		echo "FAILED ($p passed, $f failed, $why)"
		sed 's/^/    /' "$out"
	else
		echo "$p passed"
	fi
	passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
