#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build-stock-xen.sh
# Fetches Debian's own arm64 hypervisor, which has no IOREQ servers: the system test sees what gpudomd
# says there. Result: $tb/xen-stock
. "$(dirname -- "$0")/env.sh"

[ ! -e "$tb/xen-stock" ] || exit 0
say "fetching Debian's hypervisor"
deb=$(fetch_deb "$suite" arm64 xen-hypervisor-4.20-arm64)
dpkg-deb --fsys-tarfile "$deb" | tar -xO ./boot/xen-4.20-arm64 >"$tb/xen-stock.new"
[ -s "$tb/xen-stock.new" ] || die "no hypervisor in $deb"
mv "$tb/xen-stock.new" "$tb/xen-stock"
