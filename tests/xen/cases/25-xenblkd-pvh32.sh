# SPDX-License-Identifier: MIT
# A 32-bit PVH guest: a front end of x86_32-abi, whose requests lie otherwise in the ring.
. /lab/lib.sh
need_xenblkd
need_script
[ -f /lab/guest/vmlinuz32 ] || skip "Debian $suite has no 32-bit kernel"
make_image disk.img 4
sum=$(sum_of disk.img)
xenblkd_start
GUEST_KERNEL=/lab/guest/vmlinuz32 GUEST_INITRD=/lab/guest/initrd32 \
	guest_create g1 pvh "$(ours "$PWD/disk.img")"
assert_match 'the guest' "$(guest_run g1 'uname -m')" i686
assert_eq 'its layout' "$(xenstore-read "/local/domain/$(guest_id g1)/device/vbd/51712/protocol")" x86_32-abi
assert_eq 'what the guest reads' "$(guest_sum g1 /dev/xvda 0 4)" "$sum"
guest_write g1 /dev/xvda 2 1
assert_eq 'what the file has' "$(sum_range disk.img 2 1)" "$(guest_written g1)"
assert_eq 'I/O errors in the guest' "$(guest_run g1 'dmesg | grep -c "I/O error"')" 0
