# SPDX-License-Identifier: MIT
# The lab itself, and what ours is compared with: a PV guest runs its script, obeys commands, reports their status and
# goes; the kernel's xen-blkback serves it a file through loop.
. /lab/lib.sh
modprobe xen_blkback || fail 'no xen_blkback in this kernel'
make_image disk.img 8
sum=$(sum_of disk.img)
GUEST_SCRIPT='echo "the script says $((6 * 7))"' guest_create g1 pv "$PWD/disk.img,raw,xvda,w"
assert 'no line of the script' guest_wait_line g1 'the script says 42' 10
assert_eq 'output' "$(guest_run g1 'echo one; echo two')" $'one\ntwo'
guest_run g1 'echo three; exit 3' > out
assert_eq 'status' $? 3
assert_eq 'output of what fails' "$(cat out)" three
assert_match 'guest kernel' "$(guest_run g1 'cat /sys/hypervisor/type')" xen

assert_eq 'size' "$(guest_run g1 'cat /sys/block/xvda/size')" $((8 * 2048))
assert_eq 'what the guest reads' "$(guest_sum g1 /dev/xvda 0 8)" "$sum"
guest_write g1 /dev/xvda 4 2
written=$(guest_written g1)
id=$(guest_id g1)
guest_destroy g1
assert "domain $id still in xenstore" wait_for 10 guest_gone "$id"
assert 'loop still there' wait_for 20 eval '[ -z "$(losetup -a)" ]'
assert_eq 'what the file has' "$(sum_range disk.img 4 2)" "$written"
