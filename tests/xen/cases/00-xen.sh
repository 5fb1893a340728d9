# SPDX-License-Identifier: MIT
# The lab itself: this is dom0 of the Xen that we asked for, and its daemons are up.
. /lab/lib.sh
assert_eq 'hypervisor type' "$(cat /sys/hypervisor/type)" xen
assert_match capabilities "$(cat /proc/xen/capabilities)" control_d
assert_eq version "$(xl info | sed -nE 's/^(xen_major|xen_minor) *: //p' | paste -sd.)" "$xen"
assert_eq domains "$(xl list | awk 'NR > 1 { print $1, $2 }')" 'Domain-0 0'
for device in evtchn gntdev gntalloc; do
	assert "no /dev/xen/$device" test -c "/dev/xen/$device"
done
