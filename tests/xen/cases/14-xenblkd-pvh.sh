# SPDX-License-Identifier: MIT
# A PVH guest: the same disk, read and written.
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 4
sum=$(sum_of disk.img)
xenblkd_start
guest_create g1 pvh "$(ours "$PWD/disk.img")"
assert_eq 'what the guest reads' "$(guest_sum g1 /dev/xvda 0 4)" "$sum"
guest_write g1 /dev/xvda 2 1
assert_eq 'what the file has' "$(sum_range disk.img 2 1)" "$(guest_written g1)"
assert_eq 'I/O errors in the guest' "$(guest_run g1 'dmesg | grep -c "I/O error"')" 0
