# SPDX-License-Identifier: MIT
# A guest is saved and goes on (xl save -c), then is saved and restored as a new domain: the same disk, and
# what was written before is there. Between the two its worker is killed.
. /lab/lib.sh
need_xenblkd
need_script
make_image pv.img 4
make_image pvh.img 4
xenblkd_start
for g in pv pvh; do
	guest_create $g $g "$(ours "$PWD/$g.img")"
	before=$(guest_id $g)
	guest_write $g /dev/xvda 0 1
	assert "xl save -c ($g)" xl_ save -c $g checkpoint
	assert_eq 'the same domain' "$(guest_id $g)" "$before"
	assert_eq "what $g reads after it was saved" "$(guest_sum $g /dev/xvda 0 1)" "$(guest_written $g)"
	kill -9 "$(workers)"
	guest_write $g /dev/xvda 2 1
	say 'saved, and goes on'
	assert "xl save ($g)" xl_ save $g saved
	assert 'worker still there' wait_for 10 no_workers
	assert "xl restore ($g)" xl_ restore saved
	guest_anew $g
	assert 'another domain' test "$(guest_id $g)" != "$before"
	assert_eq "what $g reads" "$(guest_sum $g /dev/xvda 2 1)" "$(guest_written $g)"
	assert_eq 'what the file has' "$(sum_range $g.img 2 1)" "$(guest_written $g)"
	guest_write $g /dev/xvda 3 1
	assert_eq "what the restored $g wrote" "$(sum_range $g.img 3 1)" "$(guest_written $g)"
	guest_destroy $g
	assert 'worker still there' wait_for 10 no_workers
done
