#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: walk-commands.sh PAGE.scd DIR
# Takes the commands out of a man page's literal blocks, where they stand behind a prompt (build$,
# dom0#, gpudom#, guest#), and writes them to DIR, one to a file, in order: DIR/NNN.PLACE. Those that
# end in (*) are left out and counted. Prints how many there are of both.
set -eu
case ${1:---help} in -h | --help) sed -n '3,/^[^#]/s/^#\( \|$\)//p' "$0" && exit ;; esac

mkdir -p "$2"
awk -v dir="$2" '
	/^```/ { inside = !inside; next }
	!inside || !match($0, /^(build\$|dom0#|gpudom#|guest#) /) { next }
	/\\/ { print "a backslash is not shown as it is written: " $0 | "cat >&2"; bad = 1 }
	/ +\(\*\)$/ { skipped++; next }
	{
		file = sprintf("%s/%03d.%s", dir, ++n, substr($0, 1, RLENGTH - 2))
		print substr($0, RLENGTH + 1) >file
		close(file)
	}
	END { print n + 0, skipped + 0; exit bad || !n }' "$1"
