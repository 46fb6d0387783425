#!/bin/sh
# SPDX-License-Identifier: MIT
# Prints a folder that goes in front of $PATH for clang-format and clang-tidy of one version, 14 of
# Debian 12: each version formats and warns differently, and the tree is clean for one. Where this
# machine has that version, an empty folder; else Debian 12's packages are unpacked into the cache.
# usage: tests/lint-tools.sh
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=system/lib.sh
. "$here/system/lib.sh"
case ${1-} in -h | --help) sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;; esac

t=$cache/lint-tools
mkdir -p "$t/none"
if clang-format --version 2>/dev/null | grep -q 'version 14\.' &&
	clang-tidy --version 2>/dev/null | grep -q 'version 14\.'; then
	echo "$t/none"
	exit
fi
stamp=$(stamp_of "$0")
if [ "$(cat "$t/stamp" 2>/dev/null)" = "$stamp" ]; then
	echo "$t/bin"
	exit
fi
say "downloading Debian 12's clang-format and clang-tidy"
rm -rf "$t/root" "$t/bin"
mkdir -p "$t/bin"
arch=$(dpkg --print-architecture)
# shellcheck disable=SC2046 # a list of files
unpack_debs "$t/root" $(fetch_debs bookworm "$arch" clang-format-14 clang-tidy-14 libclang-common-14-dev)
for l in "$t"/root/usr/lib/*-linux-gnu*; do [ -d "$l" ] && lib=$l; done
# By its own dynamic linker, as Debian 13 has other libraries. So clang-tidy does not find its
# headers by itself.
run="exec '$(echo "$lib"/ld-linux-*.so.*)' --library-path '$lib'"
headers=$(echo "$t"/root/usr/lib/llvm-14/lib/clang/*)
printf '#!/bin/sh\n%s "%s" "$@"\n' "$run" "$t/root/usr/lib/llvm-14/bin/clang-format" >"$t/bin/clang-format"
printf '#!/bin/sh\n%s "%s" --extra-arg=-resource-dir="%s" "$@"\n' "$run" \
	"$t/root/usr/lib/llvm-14/bin/clang-tidy" "$headers" >"$t/bin/clang-tidy"
chmod +x "$t/bin/clang-format" "$t/bin/clang-tidy"
"$t/bin/clang-format" --version >&2 || die "the unpacked clang-format does not run"
echo "$stamp" >"$t/stamp"
echo "$t/bin"
