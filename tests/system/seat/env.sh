# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# The Xen test bed's settings, for scripts beside it that use what it builds.
. "$(dirname -- "$0")/../xen/env.sh"
