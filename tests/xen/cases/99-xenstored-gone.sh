# SPDX-License-Identifier: MIT
# xenstored dies. xenblkd says so and ends with status 75; the disk's worker goes on, and so does the guest.
# The last one: nothing of Xen's tools works after it.
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 1
xenblkd_start
guest_create g1 pv "$(ours "$PWD/disk.img")"
id=$(guest_id g1)
guest_run g1 'while :; do dd if=/dev/urandom of=/dev/xvda bs=4k count=8 oflag=direct 2>/dev/null; done &'
writes() { cat "/run/xenblkd/disks/$id:xvda/statistics/wr_req"; }
more_writes() { [ "$(writes)" -gt "$(($1 + 50))" ]; }
assert 'the guest does not write' wait_for 30 more_writes 0
worker=$(workers)
assert 'no xenstored' test -n "$(pidof xenstored oxenstored)"
kill -9 $(pidof xenstored oxenstored)
wait "$xenblkd_pid"
assert_eq 'exit status' $? 75
tail -n 3 xenblkd.log
assert_match 'what it says' "$(cat xenblkd.log)" 'xenstore'
assert_eq 'the worker' "$(workers)" "$worker"
was=$(writes)
sum=$(sum_of disk.img)
assert 'the guest is stuck' wait_for 30 more_writes "$was"
assert 'the file does not change' test "$(sum_of disk.img)" != "$sum"
xenblkd_pid=
trap - EXIT
exit 0
