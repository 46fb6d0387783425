#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs test programs (cmocka) and sums up what they report.
# usage: tests/run.sh PROGRAM... [--alone PROGRAM...]
#
# As many at a time as there are CPUs (JOBS); those behind --alone, one after the other when the
# others are done. A program fails that reports a failed test, exits with a status other than 0
# (a sanitizer's finding, a crash) or outlasts TEST_TIMEOUT seconds (default 300).
set -u
here=$(cd "$(dirname "$0")" && pwd)

# run_one DIR PROGRAM: leaves the counts in DIR, and says what happened in one piece.
run_one() {
	dir=$1 program=$2
	name=${program#*/build/} name=${name#build/}
	out=$(mktemp "$dir/out.XXXXXX") || exit 1
	begun=$(date +%s) status=0
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
		said="FAILED ($p passed, $f failed, $why)"
	else
		said="$p passed"
	fi
	echo "$p $f" >"$out.counts"
	{
		flock 9
		printf '%-40s %s, %d s\n' "$name" "$said" $(($(date +%s) - begun))
		[ "$f" -eq 0 ] || sed 's/^/    /' "$out"
	} 9>>"$dir/lock"
}

case ${1:-} in
--help)
	sed -n '3,8s/^# \{0,1\}//p' "$0"
	exit 0
	;;
--one)
	run_one "$2" "$3"
	exit 0
	;;
esac

export ASAN_OPTIONS="abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
export LSAN_OPTIONS="suppressions=$here/lsan.supp:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"
export CMOCKA_MESSAGE_OUTPUT=STDOUT
export LIBGL_ALWAYS_SOFTWARE=1 GBM_ALWAYS_SOFTWARE=1

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
while [ $# -gt 0 ] && [ "$1" != --alone ]; do
	echo "$1"
	shift
done >"$dir/together"
[ $# -eq 0 ] || shift
xargs -P "${JOBS:-$(nproc)}" -n 1 -d '\n' "$0" --one "$dir" <"$dir/together"
for program; do
	"$0" --one "$dir" "$program"
	echo "$program" >>"$dir/together"
done
# Each program must have left its counts.
cat "$dir"/out.*.counts 2>/dev/null | awk -v programs="$(wc -l <"$dir/together")" '
	{ p += $1; f += $2 }
	END {
		f += programs - NR
		printf "%d passed, %d failed\n", p, f
		exit f > 0
	}'
