# SPDX-License-Identifier: MIT
# xen-blkback is loaded while a disk of ours waits for its guest, and takes it: xenblkd keeps its hands off and says
# so. When that driver is unbound, xenblkd takes the disk back and withdraws what the other one promised.
. /lab/lib.sh
need_xenblkd
need_script
modprobe -n xen_blkback || skip 'no xen_blkback in this kernel'
make_image disk.img 4
sum=$(sum_of disk.img)
at_end 'modprobe -r xen_blkback'
xenblkd_start
guest_create g1 pv
id=$(guest_id g1)
xl_ pause g1
assert 'block-attach' xl_ block-attach g1 "$(ours "$PWD/disk.img")"
node=/local/domain/0/backend/vbd/$id/51712
xenstore-ls "$node" | sort > ours
modprobe xen_blkback
taken() { xenblkctl status "$id:xvda" | grep -q 'xen_blkback owns this device'; }
assert 'not seen as taken' wait_for 10 taken
assert_match 'driver' "$(readlink "/sys/bus/xen-backend/devices/vbd-$id-51712/driver")" vbd
# a promise that ours does not make
xenstore-write "$node/feature-large-sector-size" 1
echo "vbd-$id-51712" > /sys/bus/xen-backend/drivers/vbd/unbind
assert 'still taken' wait_for 10 eval '! taken'
promised() { xenstore-ls "$node" | sort | diff ours - > differs; }
wait_for 10 promised || fail "what is promised now: $(cat differs)"
xl_ unpause g1
assert 'no xvda in the guest' wait_for 30 guest_run g1 'test "$(cat /sys/block/xvda/size)" = 8192'
assert_eq 'what the guest reads' "$(guest_sum g1 /dev/xvda 0 4)" "$sum"
