# SPDX-License-Identifier: MIT
# xl save and xl restore of a PV guest: a new domain, new nodes, the same disk, and what was written before is there.
# limit: 300
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 8
xenblkd_start
guest_create g1 pv "$(ours "$PWD/disk.img")"
before=$(guest_id g1)
assert_eq 'guest writes' "$(guest_run g1 'dd if=/dev/urandom of=/tmp/r bs=1M count=2 2>/dev/null; dd if=/tmp/r of=/dev/xvda bs=1M oflag=direct conv=fsync 2>/dev/null; echo $?')" 0
assert 'xl save' xl_ save g1 saved
assert 'worker still there' wait_for 10 no_workers
assert 'xl restore' xl_ restore saved
assert 'another domain' test "$(guest_id g1)" != "$before"
assert_eq 'what it reads' "$(guest_sum g1 /dev/xvda 0 2)" "$(guest_run g1 'sha256sum < /tmp/r | cut -c1-64')"
assert_eq 'what the file has' "$(sum_range disk.img 0 2)" "$(guest_run g1 'sha256sum < /tmp/r | cut -c1-64')"
