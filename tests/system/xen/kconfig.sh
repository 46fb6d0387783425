#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: kconfig.sh
# Checks configs/kernel: each option exists in Linux (or Xen) and keeps its value, merged over arm64's
# defconfig. Needs the sources of build-kernel.sh and build-xen.sh. A minute, nothing is compiled.
. "$(dirname -- "$0")/env.sh"

linux=$tb/linux-source-6.12 out=$tb/kconfig
[ -e "$linux/Makefile" ] || die "no Linux source: run build-kernel.sh first"
failed=0 passed=0
rm -rf "$out"
mkdir -p "$out"

# look FRAGMENT RESULT: whether each line of the first is in the second.
look() {
	while read -r line; do
		if grep -qx -- "$line" "$2"; then
			passed=$((passed + 1))
		else
			say "${1#"$top/"}: $line does not hold"
			failed=$((failed + 1))
		fi
	done <<-EOT
		$(meaning "$1")
	EOT
}

mk() { make -s -C "$linux" O="$out" ARCH=arm64 CROSS_COMPILE=$cross "$@" >"$out/log" 2>&1; }
for fragment in driver-domain guest; do
	file=$top/configs/kernel/$fragment.config
	rm -f "$out/.config"
	# merge_config.sh itself, as the fragments' comments say.
	if mk defconfig && (cd "$linux" && scripts/kconfig/merge_config.sh -m -O "$out" \
		"$out/.config" "$file" >"$out/log" 2>&1) && mk olddefconfig; then
		look "$file" "$out/.config"
	else
		cat "$out/log" >&2
		die "cannot configure Linux with $file"
	fi
done
# Xen, as the test bed's build has configured it with the same options.
look "$top/configs/kernel/xen.config" "$tb/xen-src/xen/.config"
say "$passed options hold, $failed do not"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
