# SPDX-License-Identifier: MIT
# A hundred attachments and removals in a running guest leave no process, grant, event channel, xenstore node
# or file behind.
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 1
make_image second.img 1
xenblkd_start
guest_create g1 pv "$(ours "$PWD/disk.img")"
assert 'first attach' xl_ block-attach g1 "$(ours "$PWD/second.img" xvdb)"
assert 'first detach' xl_ block-detach g1 xvdb
# what the daemon itself holds; its number of descriptors must not grow either
usage() {
	inventory
	ls "/proc/$xenblkd_pid/fd" | wc -l
	find /run/xenblkd | sort
	ls /proc/*/fd -l 2> /dev/null | grep -c '/dev/xen/'
}
sleep 1
usage > before
for n in $(seq 100); do
	xl_ block-attach g1 "$(ours "$PWD/second.img" xvdb)" || fail "attach $n"
	xl_ block-detach g1 xvdb || fail "detach $n"
	[ $((n % 20)) -ne 0 ] || say "$n rounds"
done
sleep 1
usage > after
assert 'something is left' diff before after
assert_eq 'the first disk' "$(guest_sum g1 /dev/xvda 0 1)" "$(sum_of disk.img)"
