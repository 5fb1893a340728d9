# SPDX-License-Identifier: MIT
# A hundred attachments and removals in a running guest, two disks side by side, leave no process, grant, event
# channel, xenstore node or file behind.
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 1
make_image second.img 1
make_image third.img 1
xenblkd_start
guest_create g1 pv "$(ours "$PWD/disk.img")"
# rounds VDEV IMAGE TIMES
rounds() {
	local n
	for n in $(seq "$3"); do
		xl_ block-attach g1 "$(ours "$PWD/$2" "$1")" && xl_ block-detach g1 "$1" || {
			echo "$1, round $n"
			return 1
		}
		[ $((n % 10)) -ne 0 ] || say "$1: $n rounds"
	done
}
# both TIMES
both() {
	rounds xvdb second.img "$1" &
	at_end "kill $!"
	rounds xvdc third.img "$1" || fail 'xvdc'
	wait $! || fail 'xvdb'
}
both 1
# what the daemon itself holds; its number of descriptors must not grow either
usage() {
	inventory
	ls "/proc/$xenblkd_pid/fd" | wc -l
	find /run/xenblkd | sort
	ls /proc/*/fd -l 2> /dev/null | grep -c '/dev/xen/'
}
sleep 1
usage > before
both 50
sleep 1
usage > after
assert 'something is left' diff before after
assert_eq 'the first disk' "$(guest_sum g1 /dev/xvda 0 1)" "$(sum_of disk.img)"
