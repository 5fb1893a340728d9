# SPDX-License-Identifier: MIT
# A plain `phy` disk, set up by the stock `block` script: it makes a loop device and writes physical-device, which
# xenblkd opens; at the end the script can take the loop device away.
. /lab/lib.sh
need_xenblkd
make_image disk.img 4
sum=$(sum_of disk.img)
inventory > before
xenblkd_start
guest_create g1 pv "$PWD/disk.img,raw,xvda,w"
assert_match 'the image is the loop device' "$(xenblkctl status "$(guest_id g1):xvda" | grep '^target')" ' 7:'
assert_eq 'what the guest reads' "$(guest_sum g1 /dev/xvda 0 4)" "$sum"
assert 'xl destroy' guest_destroy g1
xenblkd_stop
inventory > after
assert 'something is left' diff before after
