# SPDX-License-Identifier: MIT
# Sourced in dom0: the commands of xl-gpudom(7), in their order, each where the page says. What a
# person's editor would do to an xl configuration, the test bed's own settings do.

# As root at the prompt, in the folder with gpudom.tar. The doctor may warn: there is no GPU.
in_dom0() { (cd /share && PATH=/tmp/bin:$PATH sh "$1"); }
in_domain() {
	wait_until 90 booted "$1" || return
	status=0
	run_in "$1" 180 "cd /share; sh $2" || status=$?
	tr -d '\r' <"/tmp/$1.out" >"/share/out/${2##*/}.out"
	case $(cat "$2") in *doctor*) [ "$status" -le 1 ] ;; *) [ "$status" = 0 ] ;; esac
}
doctor() { grep -q -- "$2" "/share/out/$1"; }

prepare
mkdir -p /etc/xen /tmp/bin
cat >/tmp/bin/editor <<-'EOT'
	#!/bin/sh
	sed -n '/# --- the test bed/,$p' "/share/${1##*/}" >>"$1"
EOT
chmod +x /tmp/bin/editor

first='' last=''
for file in /share/walk/*; do
	command=$(cat "$file")
	case $file in
	*.build) continue ;; # walk-build.sh has run it
	*.dom0) check "dom0# $command" in_dom0 "$file" ;;
	*)
		place=${file##*.}
		check "$place# $command" in_domain "$place" "$file"
		;;
	esac
	case $command in
	*doctor*)
		last=${file##*/}.out
		first=${first:-$last}
		;;
	esac
done

check "the doctor sees FLASK, IOREQ servers and grants" sh -c "grep -c '^ok *\(policy\|ioreq-server\|grants\|privcmd\|xenstore\|event-channels\|eventfds\|dma-bufs\) ' /share/out/$first | grep -qx 8"
check "the doctor says that gpudomd does not run yet" doctor "$first" '^warning *gpudomd'
check "the doctor sees the guest, later" doctor "$last" '^ok *guests *guest (domain [0-9]*, device 0) is served'
check "the doctor sees that gpudomd serves" doctor "$last" '^ok *gpudomd'
check "the picture shows the guest's console" run_in gpudom 20 \
	"/share/bin/check_png /var/lib/gpudom/guest/scanout-0.png 800x600 'drawn>50'"
check "FLASK has refused nothing, also to the doctor" sh -c '! xl dmesg | grep "avc: *denied"'
run_in gpudom 10 'cat /var/log/gpudomd.log' && cp /tmp/gpudom.out /share/out/gpudomd.log
