# SPDX-License-Identifier: MIT
# Sourced in dom0: the FLASK policy is minimal. For each permission that configs/flask gives, the policy
# without it (mutate-flask.sh) is loaded and a domain lives its life: some step of it must fail. /share/mutants
# has the policies; $only: those whose rule has this text in it; $first: from this one on.

good_policy() { xl loadpolicy /share/gpudom-policy-foreign.bin >/dev/null; }
refusals() { avc | wc -l; }
# comes_true COMMAND...: like wait_until, but once FLASK has refused something there is no point in
# waiting for much longer.
comes_true() {
	end=$(($(cut -d. -f1 /proc/uptime) + 90)) hopeless=
	until "$@" 2>/dev/null; do
		now=$(cut -d. -f1 /proc/uptime)
		[ "$now" -le $end ] || return 1
		[ -n "$hopeless" ] || [ "$(refusals)" = "$before" ] || hopeless=1 end=$((now + 8))
		sleep 0.3
	done
}
listed() { xl vcpu-list "$1" 2>&1 | grep -q "^$1 .* [0-9]* .*[0-9] .*all / all"; }
pauses() { xl pause "$1" && xl list "$1" | grep -q ' [r-][b-]p[s-]-- '; }
is_listed() { xl list "$1" >/dev/null; }
gone() { ! is_listed "$1" && [ "$(xl list | wc -l)" = "$domains" ]; }

# life NAME OPTION...: names the first step that fails, in $failed.
life() {
	name=$1 before=$(refusals) domains=$(xl list | wc -l) failed=
	rm -f "/share/out/guest-$name.log"
	step() {
		[ -z "$failed" ] || return
		what=$1
		shift
		"$@" >>/tmp/life.log 2>&1 || failed=$what
	}
	step 'xl create' start -p "$@"
	[ "$name" = probe ] || step 'gpudomd serves it' comes_true served "$name"
	step 'xl unpause' xl unpause "$name"
	step 'it boots' comes_true booted "$name"
	if [ "$name" != probe ] && [ -z "$failed" ]; then
		type_to "$name" '/share/bin/flips 336699 </dev/null'
		step 'it draws' comes_true logged "$name" 'guest: frame 20'
	fi
	step 'xl vcpu-list' listed "$name"
	step 'xl pause' pauses "$name"
	step 'xl destroy' xl destroy "$name"
	step 'xl destroy leaves nothing' comes_true gone "$name"
	[ "$(refusals)" = "$before" ] || step 'FLASK refuses nothing' false
}
# After a life that ended early.
clean_up() {
	good_policy
	for d in $(xl list | awk -v g="$(domid gpudom)" 'NR > 1 && $(NF - 4) > g { print $(NF - 4) }'); do
		xl destroy "$d" 2>/dev/null
	done
}
gpudom_up() {
	start gpudom && wait_until 120 booted gpudom && run_in gpudom 30 "/share/gpudom-start soft.conf"
}
gpudomd_ready() { [ "$(xenstore-read "/local/domain/$(domid gpudom)/drivers/gpudom/status")" = ready ]; }
life_of() {
	case $1 in
	*'gpudom_t gpuguest_t:mmu'*)
		life guest memory=128 'virtio=["type=virtio,device10,transport=mmio,backend=gpudom,grant_usage=0"]'
		;;
	*gpuguest*) life guest memory=128 ;;
	*) life probe memory=128 'virtio=[]' 'seclabel="system_u:system_r:gpudom_t"' ;;
	esac
}

prepare
gpudom_up && wait_until 60 gpudomd_ready || return
good_policy
for t in gpudom_t gpuguest_t 'gpudom_t gpuguest_t:mmu'; do
	life_of "$t"
	check "with the whole policy, a $t lives and dies${failed:+ (not: $failed)}" [ -z "$failed" ]
	clean_up
done
while read -r n rule; do
	case $rule in *${only:-}*) ;; *) continue ;; esac
	[ "$n" -ge "${first:-1}" ] || continue
	xl loadpolicy "/share/mutants/$n.bin" >/dev/null
	life_of "$rule"
	check "without '$rule': ${failed:-nothing} fails" [ -n "$failed" ]
	clean_up
	# It has missed events under some of these policies.
	run_in gpudom 20 true || {
		xl destroy gpudom
		gpudom_up && wait_until 60 gpudomd_ready
	}
done </share/mutants/list
good_policy
