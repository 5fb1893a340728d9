# SPDX-License-Identifier: MIT
# The image grows, and shrinks, while a Linux guest uses the disk: the guest sees the new size at once, and what
# it reads there.
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 4
make_image more.img 4
xenblkd_start
guest_create g1 pv "$(ours "$PWD/disk.img")"
guest_size() { [ "$(guest_run g1 'cat /sys/block/xvda/size')" = "$1" ]; }
assert 'size' guest_size $((4 * 2048))
cat more.img >> disk.img
assert 'the guest does not see the new size' wait_for 30 guest_size $((8 * 2048))
assert_eq 'what is new' "$(guest_sum g1 /dev/xvda 4 4)" "$(sum_of more.img)"
guest_write g1 /dev/xvda 7 1
assert_eq 'what the file has' "$(sum_range disk.img 7 1)" "$(guest_written g1)"
truncate -s 2M disk.img
assert 'the guest does not see the smaller size' wait_for 30 guest_size $((2 * 2048))
assert_eq 'what is left' "$(guest_sum g1 /dev/xvda 0 2)" "$(sum_of disk.img)"
