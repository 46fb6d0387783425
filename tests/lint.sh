#!/bin/sh
# SPDX-License-Identifier: MIT
# make lint: formatting, clang-tidy, cppcheck, shell syntax, SPDX lines and file lengths.
# usage: tests/lint.sh [file.c...]      (default: every C file that git knows)
set -eu
[ "${1:-}" != --help ] || { sed -n '3,4s/^# //p' "$0"; exit 0; }
cd "$(dirname "$0")/.."
tools=$(tests/lint-tools.sh)
PATH=$tools:$PATH

failed=0
fail() { echo "lint: $*" >&2; failed=1; }
files=${*:-$(git ls-files '*.c')}
headers=$(git ls-files '*.h')

echo "lint: clang-format"
# shellcheck disable=SC2086
clang-format --dry-run --Werror $files $headers || fail "run make format"

echo "lint: licence lines, file lengths, host names"
for f in $(git ls-files '*.c' '*.h' '*.sh' Makefile '*.te' '*.if' '.ci/*'); do
	[ -s "$f" ] || continue
	case $f in .ci/packages) continue ;; esac
	head -n 3 "$f" | grep -q 'SPDX-License-Identifier: MIT' || fail "$f: no SPDX line"
done
for f in $(git ls-files '*.c' '*.h'); do
	n=$(wc -l <"$f")
	[ "$n" -le 750 ] || fail "$f: $n lines; split it (one file, one job)"
done
for f in $(git ls-files '*.sh' '.ci/run' '.ci/install'); do
	case $(head -n 1 "$f") in
	*bash*) bash -n "$f" || fail "$f" ;;
	*) sh -n "$f" || fail "$f" ;;
	esac
done

echo "lint: cppcheck"
# shellcheck disable=SC2086
cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability -I. \
	--inline-suppr --suppress=missingIncludeSystem --suppress=unknownMacro \
	--suppress=nullPointerOutOfMemory --suppress=nullPointerArithmeticOutOfMemory \
	--suppress=normalCheckLevelMaxBranches \
	--error-exitcode=1 -j "$(nproc)" -D__linux__ $files || fail "cppcheck"

echo "lint: clang-tidy"
make -s build/release/protocol/xdg-shell-client.h build/release/protocol/xdg-shell-server.h
flags="-std=gnu11 -iquote . -iquote build/release/protocol -D_GNU_SOURCE -D__XEN_TOOLS__ -DVIRGL_RENDERER_UNSTABLE_APIS $(pkg-config --cflags \
	libsystemd libpng inih epoxy egl gbm virglrenderer libdrm pixman-1 libinput xenstore xendevicemodel \
	xenforeignmemory xenevtchn json-c 2>/dev/null || true)"
# The hostile guest is made of the kernel's headers, and built by its Kbuild.
# shellcheck disable=SC2086
printf '%s\n' $files | grep -v '^tests/system/guest/hostile/' | xargs -r -P "$(nproc)" -n 4 sh -c \
	'flags=$1; shift; clang-tidy --quiet "$@" -- $flags 2>/dev/null' sh "$flags" ||
	fail "clang-tidy"

[ $failed = 0 ] && echo "lint: clean"
exit $failed
