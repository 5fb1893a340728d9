# SPDX-License-Identifier: MIT
# backendtype=tap, kind vbd3: Xen 4.19 and later. xen-blkback, loaded, leaves it alone.
. /lab/lib.sh
need_xenblkd
need_script
case $xen in
4.1[0-8]) skip "libxl $xen knows no vbd3" ;;
esac
make_image disk.img 4
sum=$(sum_of disk.img)
at_end 'modprobe -r xen_blkback'
xenblkd_start
guest_create g1 pv "backendtype=tap,$(ours "$PWD/disk.img")"
assert 'kind vbd3' xenstore-exists "/local/domain/0/backend/vbd3/$(guest_id g1)/51712"
modprobe xen_blkback
assert_eq 'what the guest reads' "$(guest_sum g1 /dev/xvda 0 4)" "$sum"
