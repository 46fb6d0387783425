# SPDX-License-Identifier: MIT
# Settings and helpers of the Xen test bed; sourced by every script here (POSIX sh).
#
# What is built lives in $tb, a cache shared by all checkouts; what one run leaves lives in
# build/xen/. Each result has a stamp beside it, a hash of what it was made from: a script whose
# stamp still holds does nothing.

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
case ${1:-} in
-h | --help)
	# The comment at the head of the script is its manual.
	sed -n '3,/^[^#]/s/^#\( \|$\)//p' "$0"
	exit 0
	;;
esac
. "$here/../lib.sh"

top=$(cd "$here/../../.." && pwd)
tb=$cache/testbed
suite=trixie
cross=aarch64-linux-gnu-
triplet=aarch64-linux-gnu
jobs=${JOBS:-$(nproc)}
mkdir -p "$tb"

# One at a time: two checkouts may want the same result. Released when the script ends.
exec 9>"$tb/${0##*/}.lock"
flock -n 9 || {
	say "waiting for another ${0##*/}"
	flock 9
}

# meaning FILE: a configuration fragment without its comments.
meaning() { sed '/^ *\(#\|$\)/d' "$1"; }

# fresh RESULT STAMP: whether the result is there and was made from what the stamp says.
fresh() { [ -e "$1" ] && [ "$(cat "$1.stamp" 2>/dev/null)" = "$2" ]; }
