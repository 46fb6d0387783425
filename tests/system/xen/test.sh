#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: test.sh [served|seat|script|many|cycles|faults|attack|foreign|policy|flask|silo|dummy|no-ioreq|walk|kconfig|measure|recovery|grants]...
# make system-test: gpudom on a real Xen (arm64, emulated by QEMU).
#   served     an unmodified guest, under enforcing FLASK and by grants alone: the pixels of known
#              pictures, no refusals, xl destroy, nothing left behind, a second guest
#   seat       the driver domain has a screen and a keyboard (vkms, uinput): a guest's weston is shown there and typed into
#   script     Xen answers a script of calls as the fake one of make check does
#   many       three guests at once, on two CPUs; one goes and comes back; what FLASK refuses gpudom
#   cycles     50 guests come and go, at any moment of their lives; reboots; nothing is left over
#   faults     workers and gpudomd die under guests that draw in 2D and 3D; they go on; nothing is left over
#   attack     three guests, one of which attacks and crashes its worker; the other two lose no frame. SECONDS_EACH=N (30):
#              how long each kind of attack is, CRASHES=N (10), TIGHT=soft: to crash a hundred times in time, WAYS="m r c q": the kinds. Not by
#              default: it needs both CPUs of the machine for itself (see boot.sh)
#   foreign    a guest that does not grant its memory
#   policy     the FLASK policy without each of its permissions in turn: what breaks. 10 to 20 minutes, so not
#              among those that run by default; ONLY=TEXT: rules with this text in them, FIRST=N: from the Nth on
#   flask, silo, dummy, no-ioreq
#              what gpudomd and the doctor say where Xen, Linux or the domains are set up wrongly; a boot for
#              each
#   walk       the commands of xl-gpudom(7), word by word
#   kconfig    configs/kernel: each option exists and holds; without a boot
#   measure, recovery, grants
#              print counts and times; not by default either (grants: of the ways in which a sandboxed
#              worker reaches them, by turns)
# Each boot leaves its logs in build/xen/NAME/. The first run builds Xen and a kernel, in about 12
# minutes; later ones take 20 to 40, as busy as the machine is.
. "$(dirname -- "$0")/env.sh"

"$here/build.sh"
"$here/build-stock-xen.sh"
passed=0 failed=0

# run NAME SECONDS SCENARIO OPTION...: boots, and counts what the scenario said.
run() {
	dir=$top/build/xen/$1
	say "$1: booting"
	name=$1 limit=$2 scenario=$3
	shift 3
	r=0
	"$here/boot.sh" -q -d "$dir" -t "$limit" -a "$top/build/arm64/bin" "$@" \
		"$here/scenarios/$scenario.sh" 9>&- || r=$?
	p=$(grep -c ' @ ok: ' "$dir/console.log") || :
	f=$(grep -c ' @ NOT OK: ' "$dir/console.log") || :
	# A scenario that does not end, or says nothing, has failed.
	if [ $r -ne 0 ] || [ $((p + f)) -eq 0 ]; then f=$((f + 1)); fi
	[ "$f" -eq 0 ] || say "$name: $f failed; see build/xen/$name"
	passed=$((passed + p)) failed=$((failed + f))
}

# count "N passed, M failed"
count() {
	say "$1"
	n=${1#* passed, }
	passed=$((passed + ${1%% *})) failed=$((failed + ${n%% *}))
}

for t in ${*:-served seat script many cycles faults foreign flask silo dummy no-ioreq walk kconfig}; do
	case $t in
	served) run served 480 test ;;
	seat) run seat 600 seat ;;
	many) run many 600 many ;;
	cycles) run cycles 900 cycles -e "cycles=${CYCLES:-50}" ;;
	faults) run faults 900 faults ;;
	foreign) run foreign 480 foreign -p "$tb/gpudom-policy-foreign.bin" ;;
	measure) run measure 900 measure ;;
	grants) run grants 900 grants -e "rounds=${ROUNDS:-2}" ;;
	recovery) run recovery 1800 recovery -e "kills=${KILLS:-100}" ;;
	attack)
		s=${SECONDS_EACH:-30} c=${CRASHES:-10}
		run attack $((900 + s * 20 + c * 40)) attack -e "seconds=$s" -e "crashes=$c" -e "tight=${TIGHT:-}" -e "ways=${WAYS:-}"
		;;
	script) run script 240 script ;;
	policy)
		"$here/mutate-flask.sh" "$tb/mutants"
		run policy 1800 policy -a "$tb/mutants" -a "$tb/gpudom-policy-foreign.bin" -e "only=${ONLY:-}" -e "first=${FIRST:-1}"
		;;
	flask) run flask 240 traps -e traps='locked unlabelled no-gntdev no-xenstore' ;;
	silo) run silo 120 traps -x xsm=silo -e traps=silo ;;
	dummy) run dummy 120 traps -x xsm=dummy -e traps=dummy ;;
	no-ioreq) run no-ioreq 120 traps -x '' -k "$tb/xen-stock" -e traps=no-ioreq ;;
	walk)
		tree=$top/build/xen/walk-tree
		"$here/walk-build.sh"
		run walk 900 walk -p "$tree/policy/xenpolicy-gpudom" -a "$tree/walk" -a "$tree/gpudom.tar"
		;;
	kconfig) count "$("$here/kconfig.sh")" ;;
	*) die "no test '$t'" ;;
	esac
done
say "$passed passed, $failed failed"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
