# SPDX-License-Identifier: MIT
# What xenblkd needs of this domain and cannot have: devices that are not there or not accessible are named with a
# remedy. A limit of grant maps that is reached fails the new disk with a reason; the running one goes on.
. /lab/lib.sh
need_xenblkd
need_script
limit=/sys/module/xen_gntdev/parameters/limit
restore() {
	[ ! -e /dev/xen/gntdev.away ] || mv /dev/xen/gntdev.away /dev/xen/gntdev
	echo 1048576 > $limit
}
at_end restore
mv /dev/xen/gntdev /dev/xen/gntdev.away
assert_match 'without gntdev' "$(xenblkd 2>&1)" 'cannot use /dev/xen/gntdev: No such file or directory; load it (modprobe xen-gntdev)'
restore
assert_match 'as nobody' "$(setpriv --reuid 65534 --clear-groups xenblkd --run-dir /tmp/nobody 2>&1)" 'cannot use /dev/xen/gntdev: Permission denied; run xenblkd as root'

# a ring that does not fit into one mapping is not offered
make_image disk.img 4
make_image second.img 4
echo 5 > $limit
xenblkd_start
assert 'block-attach to dom0' xl_ block-attach 0 "$(ours "$PWD/second.img" xvdb)"
assert_eq 'the largest ring' "$(xenstore-read /local/domain/0/backend/vbd/0/51728/max-ring-page-order)" 2
assert 'block-detach from dom0' xl_ block-detach 0 xvdb
xenblkd_stop
restore

xenblkd_start
guest_create g1 pv "$(ours "$PWD/disk.img")"
id=$(guest_id g1)
# no page at all may be mapped in one go
echo 0 > $limit
assert 'block-attach' xl_ block-attach g1 "$(ours "$PWD/second.img" xvdb)"
failed() { xenblkctl status "$id:xvdb" | grep -q 'cannot map ring'; }
assert 'no reason in the status' wait_for 20 failed
xenblkctl status "$id:xvdb"
assert_match 'error node' "$(xenstore-read "/local/domain/0/error/backend/vbd/$id/51728/error")" 'cannot map ring'
assert_eq 'the running one' "$(guest_sum g1 /dev/xvda 0 4)" "$(sum_of disk.img)"
assert 'block-detach' xl_ block-detach g1 xvdb
restore
assert 'block-attach' xl_ block-attach g1 "$(ours "$PWD/second.img" xvdb)"
assert 'no xvdb in the guest' wait_for 30 guest_run g1 'test "$(cat /sys/block/xvdb/size)" = 8192'
assert_eq 'the second one' "$(guest_sum g1 /dev/xvdb 0 4)" "$(sum_of second.img)"
