# SPDX-License-Identifier: MIT
# xl destroy in the middle of I/O: it succeeds in its time, the worker goes, the image is free for the
# next guest, nothing is left. A guest that panics is the same to us.
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 8
inventory > before
xenblkd_start
guest_create g1 pv "$(ours "$PWD/disk.img")"
guest_send g1 busy 'while :; do dd if=/dev/xvda of=/dev/null bs=64k iflag=direct; dd if=/dev/zero of=/dev/xvda bs=64k count=64 oflag=direct; done 2>/dev/null'
sleep 2
assert 'no worker' test -n "$(workers)"
began=$SECONDS
assert 'xl destroy' guest_destroy g1
took=$((SECONDS - began))
say "destroyed in $took s"
assert "destroy took $took s" test "$took" -lt 20
assert 'worker still there' wait_for 10 no_workers

guest_create g2 pv "$(ours "$PWD/disk.img")"
assert_eq 'what the next guest reads' "$(guest_sum g2 /dev/xvda 0 8)" "$(sum_of disk.img)"
guest_send g2 busy 'dd if=/dev/xvda of=/dev/null bs=64k iflag=direct & echo c > /proc/sysrq-trigger'
assert 'a crashed guest is still there' wait_for 60 eval '! guest_id g2'
assert 'worker still there after the crash' wait_for 10 no_workers
xenblkd_stop
inventory > after
assert 'something is left' diff before after
