# SPDX-License-Identifier: MIT
# Sourced in dom0: the commands of xl-gpudom(7), in their order, each where the page says. What a
# person's editor would do to an xl configuration, the test bed's own settings do.

# A command's status, as root at a prompt in the folder with gpudom.tar. The doctor may warn: there is
# no GPU.
well() {
	case $(cat "/share/walk/$1") in *doctor*) [ "$2" = 0 ] || [ "$2" = 1 ] ;; *) [ "$2" = 0 ] ;; esac
}
in_dom0() {
	(cd /share && PATH=/tmp/bin:$PATH sh "walk/$1")
	well "$1" $?
}
# in_domain NAME FILE...: one after the other, typed at once.
in_domain() {
	domain=$1
	shift
	wait_until 120 booted "$domain"
	# Its init is not one of a distribution.
	[ "$domain" != gpudom ] || run_in gpudom 60 'pgrep systemd-udevd || /usr/lib/systemd/systemd-udevd --daemon'
	run_in "$domain" 400 "cd /share; for f in $*; do sh walk/\$f; echo walk-status \$f \$?; done"
	tr -d '\r' <"/tmp/$domain.out" >"/share/out/$1.out"
	for f; do
		check "$domain# $(cat "/share/walk/$f")" \
			well "$f" "$(sed -n "s/.*walk-status $f \([0-9]*\).*/\1/p" "/share/out/$1.out")"
	done
}
# found OUTPUT-OF PATTERN: in what the commands beginning with that one have printed.
found() { grep -q -- "$2" "/share/out/$1.out"; }

prepare
mkdir -p /etc/xen /tmp/bin
cat >/tmp/bin/editor <<-'EOT'
	#!/bin/sh
	sed -n '/# --- the test bed/,$p' "/share/${1##*/}" >>"$1"
EOT
chmod +x /tmp/bin/editor

# Neighbours that run in the same domain go there together.
batch='' batch_place='' first='' last=''
for file in $(cd /share/walk && echo *) end; do
	place=${file##*.}
	if [ -n "$batch" ] && [ "$place" != "$batch_place" ]; then
		# shellcheck disable=SC2086 # a list of names
		in_domain "$batch_place" $batch
		batch=
	fi
	case $place in
	build | end) ;; # walk-build.sh has run it
	dom0) check "dom0# $(cat "/share/walk/$file")" in_dom0 "$file" ;;
	*)
		batch="${batch:+$batch }$file" batch_place=$place
		! grep -q doctor "/share/walk/$file" || last=${batch%% *}
		first=${first:-$last}
		;;
	esac
done

for c in /usr/share/doc/gpudom/examples/xl/*.cfg; do
	check "xl understands ${c##*/}" sh -c "xl create -n $c >/dev/null"
done
for c in xenstore privcmd ioreq-server policy event-channels grants dma-bufs eventfds user sandbox; do
	check "the doctor sees no fault in $c" found "$first" "^ok *$c "
done
check "the doctor says that gpudomd does not run yet" found "$first" '^warning *gpudomd '
check "the doctor sees, later, that gpudomd serves" found "$last" '^ok *gpudomd '
check "... that somebody keeps its descriptors" found "$last" '^ok *restart '
check "... as user gpudom" found "$last" '^ok *user *gpudomd runs as user gpudom'
check "... with a control group for each worker" found "$last" '^ok *cgroups '
check "... and the guest" found "$last" '^ok *guests *guest (domain [0-9]*, device 0) is served'
check "the picture shows the guest's console" run_in gpudom 30 \
	"/share/bin/check_png /share/picture.png 1024x600 'drawn>50'"
check "FLASK has refused nothing, also to the doctor" sh -c '! xl dmesg | grep "avc: *denied"'
run_in gpudom 60 'cat /var/log/gpudomd.log' && cp /tmp/gpudom.out /share/out/gpudomd.log
