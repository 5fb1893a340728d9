# SPDX-License-Identifier: MIT
# xenblkd in a driver domain. With `xl devd` there, a disk comes and goes by the script as in domain 0. Without,
# xenblkd does all of it (--no-hotplug) and removes its own directory, so that xl in domain 0 does not wait in
# vain; kind qdisk the same.
. /lab/lib.sh
need_xenblkd
need_script
driver_create dd
driver=$(guest_id dd)
guest_run dd 'dd if=/dev/urandom of=/tmp/a.img bs=1M count=2 2>/dev/null; dd if=/dev/urandom of=/tmp/b.img bs=1M count=1 2>/dev/null'
a=$(guest_run dd 'sha256sum < /tmp/a.img | cut -c1-64')
b=$(guest_run dd 'sha256sum < /tmp/b.img | cut -c1-64')
at_end 'guest_run dd "cat /tmp/*.log" | tail -n 30 >&2'
theirs() { echo "vdev=$2,format=raw,access=rw,backend=dd,$3target=$1"; }
leaf_gone() { ! xenstore-exists "/local/domain/$driver/backend/$1"; }

guest_run dd 'xl devd -F > /tmp/devd.log 2>&1 &'
guest_run dd 'xenblkd > /tmp/xenblkd.log 2>&1 & for i in $(seq 50); do grep -qx ready /tmp/xenblkd.log && exit 0; usleep 200000; done; exit 1' ||
	fail 'xenblkd does not start in the driver domain'
guest_create g1 pv "$(theirs /tmp/a.img xvda script=block-xenblkd,)"
id=$(guest_id g1)
assert_eq 'back end' "$(xenstore-read "/local/domain/$id/device/vbd/51712/backend-id")" "$driver"
assert_eq 'what the guest reads' "$(guest_sum g1 /dev/xvda 0 2)" "$a"
guest_write g1 /dev/xvda 1 1
assert_eq 'what the file has' "$(guest_run dd 'dd if=/tmp/a.img bs=1M skip=1 2>/dev/null | sha256sum | cut -c1-64')" "$(guest_written g1)"
assert 'block-detach' xl_ block-detach g1 xvda
assert 'leaf left' wait_for 10 leaf_gone "vbd/$id/51712"
say 'with xl devd'

guest_run dd 'killall xl; killall xenblkd; for i in $(seq 50); do [ ! -S /run/xenblkd/control.sock ] && exit 0; usleep 200000; done'
guest_run dd 'xenblkd --no-hotplug --kinds vbd,qdisk > /tmp/xenblkd2.log 2>&1 & for i in $(seq 50); do grep -qx ready /tmp/xenblkd2.log && exit 0; usleep 200000; done; exit 1' ||
	fail 'xenblkd does not start again'
assert 'block-attach without devd' xl_ block-attach g1 "$(theirs /tmp/b.img xvdb script=block-xenblkd,)"
assert 'no xvdb in the guest' wait_for 30 guest_run g1 'test "$(cat /sys/block/xvdb/size)" = 2048'
assert_eq 'what the guest reads' "$(guest_sum g1 /dev/xvdb 0 1)" "$b"
assert 'block-detach without devd' xl_ block-detach g1 xvdb
assert 'leaf left' leaf_gone "vbd/$id/51728"
say 'without xl devd'

# a disk of that kind comes with its guest: to add one later, libxl wants a QEMU of that guest's
guest_destroy g1
guest_create g2 pv "$(theirs /tmp/b.img xvdc backendtype=qdisk,)"
id=$(guest_id g2)
assert 'kind qdisk' xenstore-exists "/local/domain/$driver/backend/qdisk/$id/51744"
assert_eq 'what the guest reads' "$(guest_sum g2 /dev/xvdc 0 1)" "$b"
assert 'xl destroy' guest_destroy g2
assert 'leaf left' wait_for 10 leaf_gone "qdisk/$id/51744"
