# SPDX-License-Identifier: MIT
# A PV guest is saved and goes on (xl save -c), then is saved and restored as a new domain: the same disk, and
# what was written before is there.
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 4
xenblkd_start
guest_create g1 pv "$(ours "$PWD/disk.img")"
before=$(guest_id g1)
guest_write g1 /dev/xvda 0 1
assert 'xl save -c' xl_ save -c g1 checkpoint
assert_eq 'the same domain' "$(guest_id g1)" "$before"
assert_eq 'what it reads after it was saved' "$(guest_sum g1 /dev/xvda 0 1)" "$(guest_written g1)"
guest_write g1 /dev/xvda 2 1
say 'saved, and goes on'
assert 'xl save' xl_ save g1 saved
assert 'worker still there' wait_for 10 no_workers
assert 'xl restore' xl_ restore saved
assert 'another domain' test "$(guest_id g1)" != "$before"
assert_eq 'what it reads' "$(guest_sum g1 /dev/xvda 2 1)" "$(guest_written g1)"
assert_eq 'what the file has' "$(sum_range disk.img 2 1)" "$(guest_written g1)"
guest_write g1 /dev/xvda 3 1
assert_eq 'what the restored guest wrote' "$(sum_range disk.img 3 1)" "$(guest_written g1)"
