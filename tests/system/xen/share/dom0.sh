# SPDX-License-Identifier: MIT
# Sourced by /init in dom0: the Xen services, then the scenario, if any.
mkdir -p /run/xen /run/xenstored /var/lib/xenstored /var/lib/xen /var/log/xen /share/out
xenstored --pid-file /run/xenstored.pid
i=0
until xenstore-read -s / >/dev/null 2>&1 || [ $i = 50 ]; do
	i=$((i + 1))
	sleep 0.1
done
xen-init-dom0 >/dev/null
xenconsoled --log=all --log-dir=/share/out --pid-file=/run/xenconsoled.pid
. /share/functions.sh
say "dom0 is up: Xen $(xl info xen_version)$(flask-getenforce 2>/dev/null | sed -n 's/.*Enforcing.*/, FLASK enforcing/p')"
if [ -r /share/scenario.sh ]; then
	. /share/scenario.sh
	say "scenario ended"
	sync
	poweroff -f
fi
