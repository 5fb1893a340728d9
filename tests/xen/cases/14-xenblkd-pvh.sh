# SPDX-License-Identifier: MIT
# A PVH guest: the same disk, read and written.
# limit: 240
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 8
sum=$(sum_of disk.img)
xenblkd_start
guest_create g1 pvh "$(ours "$PWD/disk.img")"
assert_eq 'what the guest reads' "$(guest_sum g1 /dev/xvda 0 8)" "$sum"
assert_eq 'guest writes' "$(guest_run g1 'dd if=/dev/urandom of=/tmp/r bs=1M count=2 2>/dev/null; dd if=/tmp/r of=/dev/xvda bs=1M seek=4 oflag=direct conv=fsync 2>/dev/null; echo $?')" 0
assert_eq 'what the file has' "$(sum_range disk.img 4 2)" "$(guest_run g1 'sha256sum < /tmp/r | cut -c1-64')"
assert_eq 'I/O errors in the guest' "$(guest_run g1 'dmesg | grep -c "I/O error"')" 0
