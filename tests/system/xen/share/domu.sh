# SPDX-License-Identifier: MIT
# Sourced by /init in a domU: say that we are up where dom0 can see it, then do what dom0 types on
# the console, without echo and prompt (functions.sh, run_in). People get a shell.
xenstore-write data/up "$(cut -d' ' -f1 /proc/uptime)"
if [ -r /share/scenario.sh ]; then
	stty -echo
	sh /dev/hvc0
fi
