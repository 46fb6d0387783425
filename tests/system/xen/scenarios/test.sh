# SPDX-License-Identifier: MIT
# Sourced in dom0: an unmodified guest served by gpudom, under enforcing FLASK, by grants alone.
. /share/pictures.sh

no_avc() { ! avc; }
ready() { [ "$(xenstore-read "/local/domain/$(domid gpudom)/drivers/gpudom/status")" = ready ]; }
gone() { ! xenstore-exists "$1"; }
# Xen's debug key g lists the tables of grants that are in use.
grants_of() {
	xen_key g >/tmp/grants
	grep -q "grant-table for remote d$1 " /tmp/grants
}
no_grants_of() { ! grants_of "$1" && grep -q 'grant-table for remote d0 ' /tmp/grants; }
# With --ioeventfd, kicks and interrupts pass gpudomd by: what it counts is what the kernel left to it.
kernel_fast_path() {
	gpudom_log
	grep -q 'forwarded 0 kicks and 0 interrupts' /share/out/gpudomd.log
}

prepare
start gpudom && wait_until 60 booted gpudom || return
run_in gpudom 60 "/share/gpudom-start test.conf --ioeventfd"
check "gpudomd says that it is ready" wait_until 30 ready
start -p guest || return
check "the guest's GPU is served before the guest runs" /share/gpudom-unpause guest 60 || return
check "the guest boots" wait_until 90 booted guest

type_to guest "echo 'this is the console' >/dev/tty0; echo 'guest: look console'; read -r answer"
look console 'drawn>50' 1024x768
check_all_pictures

check "FLASK has refused nothing" no_avc
guest=$(domid guest)
check "FLASK is enforcing" sh -c 'flask-getenforce | grep -q Enforcing'

check "the guest's grants are in use" grants_of "$guest"

b=$(backend guest) t0=$(up)
xl destroy guest 2>/tmp/destroy.log
t=$(since "$t0")
check "xl destroy goes without an error (in $t s)" [ ! -s /tmp/destroy.log ]
check "the backend's directory is gone" gone "$b"
check "Xen has no trace of the guest" sh -c '! xl list | grep -E "guest|null"'
check "no grant of the guest is left" no_grants_of "$guest"
check "kicks and interrupts took the kernel's short way (ioeventfd, irqfd)" kernel_fast_path

# another_guest TEXT: boots one, and looks at its console.
another_guest() {
	say "$1"
	start -p guest
	check "$1: its GPU is served" /share/gpudom-unpause guest 60
	check "$1: it boots" wait_until 90 booted guest
	type_to guest "echo 'this is the console' >/dev/tty0; echo 'guest: look console'; read -r answer"
	look console 'drawn>50' 1024x768
}
stop_gpudomd() {
	run_in gpudom 30 'pkill -x gpudomd; while pgrep gpudom; do sleep 0.2; done; grep -qx "gpudomd ended with status 0" /run/gpudom/log'
}

rm -f /share/out/guest-guest.log
another_guest 'a second guest, same gpudomd'
second_is_refused() {
	! run_in gpudom 20 'gpudomd --config=/share/test.conf 2>&1' &&
		grep -q 'another gpudomd (pid [0-9]*) serves the guests' /tmp/gpudom.out
}
check "a second gpudomd ends with a message" second_is_refused
check "and the first one still serves its guest" served guest
xl destroy guest
check "gpudomd ends when asked to, and leaves no worker" stop_gpudomd

rm -f /share/out/guest-guest.log
run_in gpudom 60 "/share/gpudom-start test.conf"
another_guest 'a third guest, kicks through gpudomd'
begin_in guest '/share/bin/pixels -w /dev/hvc0 dumb flip dirty'
look_2d
check "the guest's program reports no error" end_in guest 60
xl destroy guest
check "gpudomd ends again" stop_gpudomd
gpudom_log
check "gpudomd has forwarded kicks" grep -q 'forwarded [1-9][0-9]* kicks' /share/out/gpudomd.log
check "still, FLASK has refused nothing" no_avc
