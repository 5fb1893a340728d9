# SPDX-License-Identifier: MIT
# xenblkd under an unmodified xl (kind vbd, script=block-xenblkd): a PV guest reads what the file has and
# the file has what it wrote; attach, list and detach of a second disk; nothing is left.
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 8
make_image second.img 4
sum=$(sum_of disk.img)
second=$(sum_of second.img)
inventory > before
xenblkd_start
guest_create g1 pv "$(ours "$PWD/disk.img")"
assert_eq 'size' "$(guest_run g1 'cat /sys/block/xvda/size')" $((8 * 2048))
assert_eq 'what the guest reads' "$(guest_sum g1 /dev/xvda 0 8)" "$sum"
guest_write g1 /dev/xvda 4 2
assert_eq 'what the file has' "$(sum_range disk.img 4 2)" "$(guest_written g1)"
say 'read and written'

id=$(guest_id g1)
assert 'block-attach' xl_ block-attach g1 "$(ours "$PWD/second.img" xvdb ro)"
assert 'no xvdb in the guest' wait_for 30 guest_run g1 'test "$(cat /sys/block/xvdb/size)" = 8192'
assert_eq 'read-only' "$(guest_run g1 'cat /sys/block/xvdb/ro')" 1
assert_eq 'second disk' "$(guest_sum g1 /dev/xvdb 0 4)" "$second"
xl_ block-list g1 > list
cat list
# Vdev, back end's domain, handle, state
assert_eq 'block-list' "$(awk 'NR > 1 { print $1, $2, $4 }' list)" $'51712 0 4\n51728 0 4'
assert 'block-detach' xl_ block-detach g1 xvdb
assert_eq 'detached node' "$(xenstore-ls "/local/domain/0/backend/vbd/$id/51728" 2> /dev/null)" ''
assert_eq 'block-list after it' "$(xl_ block-list g1 | awk 'NR > 1 { print $1 }')" 51712
assert_eq 'first disk after the detach' "$(guest_sum g1 /dev/xvda 4 2)" "$(guest_written g1)"
say 'attached and detached'

assert 'xl destroy' guest_destroy g1
assert 'node left' wait_for 10 eval '! xenstore-exists /local/domain/0/backend/vbd/'"$id"
xenblkd_stop
inventory > after
assert 'something is left' diff before after
assert_eq 'what the workers'\'' sandbox lacks' "$(grep 'of its own' xenblkd.log)" ''
