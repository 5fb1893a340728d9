# SPDX-License-Identifier: MIT
# The lab itself, and what ours is compared with: the kernel's xen-blkback through loop serves a file.
. /lab/lib.sh
modprobe xen_blkback || skip 'no xen_blkback in this kernel'
make_image disk.img 8
sum=$(sum_of disk.img)
guest_create g1 pv "$PWD/disk.img,raw,xvda,w"
assert_eq 'size' "$(guest_run g1 'cat /sys/block/xvda/size')" $((8 * 2048))
assert_eq 'what the guest reads' "$(guest_sum g1 /dev/xvda 0 8)" "$sum"
assert_eq 'guest writes' "$(guest_run g1 'dd if=/dev/urandom of=/tmp/r bs=1M count=2 2>/dev/null; dd if=/tmp/r of=/dev/xvda bs=1M seek=4 oflag=direct conv=fsync 2>/dev/null; echo $?')" 0
written=$(guest_run g1 'sha256sum < /tmp/r | cut -c1-64')
guest_destroy g1
assert 'loop still there' wait_for 20 eval '[ -z "$(losetup -a)" ]'
assert_eq 'what the file has' "$(sum_range disk.img 4 2)" "$written"
