# SPDX-License-Identifier: MIT
# Two guests at once, each with its own disk, both writing; a second writer on a taken image is refused by our
# own lock, and by nothing else. One is PV; the other is PVH with nested paging (the PVH guests of other cases have
# shadow paging on Xen 4.17).
. /lab/lib.sh
need_xenblkd
need_script
make_image one.img 4
make_image two.img 4
one=$(sum_of one.img)
two=$(sum_of two.img)
xenblkd_start
guest_create g1 pv "$(ours "$PWD/one.img")"
GUEST_CONFIG='hap = 1' guest_create g2 pvh "$(ours "$PWD/two.img")"
assert_eq 'the first one reads' "$(guest_sum g1 /dev/xvda 0 4)" "$one"
assert_eq 'the second one reads' "$(guest_sum g2 /dev/xvda 0 4)" "$two"
guest_send g1 busy 'for i in 1 2 3; do dd if=/dev/zero of=/dev/xvda bs=64k count=32 oflag=direct; done 2>/dev/null'
guest_write g2 /dev/xvda 1 2
assert 'the first one does not end' guest_wait_line g1 '<<busy 0>>' 60
assert_eq 'what the second file has' "$(sum_range two.img 1 2)" "$(guest_written g2)"
assert_eq 'what the first file has' "$(sum_range one.img 0 2)" "$(head -c 2M /dev/zero | sha256sum | cut -d' ' -f1)"
for g in g1 g2; do
	assert_eq "I/O errors in $g" "$(guest_run $g 'dmesg | grep -c "I/O error"')" 0
done
say 'both have written'

xl_ block-attach g2 "$(ours "$PWD/one.img" xvdb)" > refused 2>&1
assert 'a taken image was attached' test $? -ne 0
cat refused
assert_match 'what xl says' "$(cat refused)" one.img
assert_match 'why' "$(cat refused)" 'in use'
assert_eq 'the first one after it' "$(guest_sum g1 /dev/xvda 2 2)" "$(sum_range one.img 2 2)"
