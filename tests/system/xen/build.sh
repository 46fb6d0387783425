#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build.sh
# Builds all that a run on the test bed needs and does not have yet: root file system, hypervisor,
# FLASK policy, kernel, gpudom. About 12 minutes on two cores the first time, seconds after.
. "$(dirname -- "$0")/env.sh"

for step in rootfs xen flask kernel gpudom; do
	"$here/build-$step.sh"
done
