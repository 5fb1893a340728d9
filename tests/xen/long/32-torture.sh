# SPDX-License-Identifier: MIT
# A PV and a PVH guest run fio with verification, each on its own disk, while their workers are killed 50 times
# each and the supervisor 10 times, at times all three at once. fio reports no error, and the kernels' logs say
# nothing of their disks.
# limit: 1500
. /lab/lib.sh
need_xenblkd
need_script
rounds=50 # of both guests' workers; with each fifth the supervisor

cat > job.fio << 'JOB'
[global]
thread
filename=/dev/xvda
direct=1
ioengine=libaio
iodepth=8
bsrange=4k-64k
rw=randwrite
fsync=32
verify=crc32c
verify_backlog=32
verify_fatal=1
verify_state_save=0
size=${SIZE}
randseed=${SEED}
rate_iops=40
[first]
[second]
offset=8m
JOB
# guests that are never idle must leave dom0 what it needs
xl_ sched-credit2 -d Domain-0 -w 8192 || fail 'the weight of dom0'
at_end 'xl_ sched-credit2 -d Domain-0 -w 256'
# on the disk of dom0, for direct I/O; /tmp is in its memory
images=/var/tmp/torture
mkdir -p $images
at_end "rm -rf $images"
truncate -s 16M $images/pv.img $images/pvh.img
# fio and its libraries are too much for an initial file system; both guests read them here
with_libraries tree /usr/bin/fio
mkdir tree/{dev,proc,sys}
cp job.fio tree/
mke2fs -q -t ext4 -d tree $images/fio.img 160M || fail 'the disk with fio'
rm -rf tree
inventory > before
xenblkd_start
for type in pv pvh; do
	GUEST_MEMORY=256 GUEST_VCPUS=2 guest_create $type $type "$(ours "$images/$type.img")" "$(ours $images/fio.img xvdb ro)"
	guest_run $type 'load ext4 crc32c_generic; mount -o ro /dev/xvdb /mnt; for d in dev proc sys; do mount -o bind /$d /mnt/$d; done'
done
for type in pv pvh; do
	[ $type = pv ] && size=8m || size=1m
	guest_run $type '(n=0; bad=0; while [ ! -e /tmp/stop ]; do SIZE='$size' SEED=1$n chroot /mnt /usr/bin/fio /job.fio > /tmp/fio.log 2>&1 || { bad=$((bad + 1)); cp /tmp/fio.log /tmp/bad.log; }; n=$((n + 1)); echo $n > /tmp/rounds; done; echo "FIO rounds=$n bad=$bad") > /dev/hvc0 2>&1 &'
done

# emulated shadow paging makes fio alone take many seconds to start
for type in pv pvh; do
	assert "fio does not run in the $type guest" wait_for 240 eval "[ \"\$(guest_run $type 'cat /tmp/rounds')\" -ge 1 ]"
	assert_eq "fio, before anything was killed ($type)" "$(guest_run $type 'cat /tmp/bad.log 2>/dev/null')" ''
done
pv=$(guest_id pv) pvh=$(guest_id pvh)

worker_of() { pgrep -x "xenblkd.$1.xvda"; }
answered() { xenblkctl stats "$1:xvda" --json | grep -o '"wr_req": *[0-9]*' | tr -dc 0-9; }
# has_moved DOMID COUNT PID: another worker has it, and more than COUNT writes were answered since the guest connected
has_moved() {
	local pid count
	pid=$(worker_of "$1") && [ "$pid" != "$3" ] && count=$(answered "$1") && [ "${count:-0}" -gt "$2" ]
}
supervise() {
	xenblkd >> xenblkd.log 2>&1 &
	xenblkd_pid=$!
	wait_for 30 xenblkctl list || fail "the new xenblkd (round $round) is not there"
}

for round in $(seq 1 $rounds); do
	first=$(worker_of "$pv") second=$(worker_of "$pvh")
	assert "no worker before round $round" test -n "$first" -a -n "$second"
	first_count=$(answered "$pv") second_count=$(answered "$pvh")
	sleep 0.$((RANDOM % 5))
	case $((round % 15)) in
	5) # the supervisor, then the workers that nobody watches
		kill -9 $xenblkd_pid
		sleep 0.$((RANDOM % 10))
		kill -9 "$first" "$second"
		supervise
		;;
	10) # all at once
		kill -9 "$first" $xenblkd_pid "$second"
		supervise
		;;
	0) # the workers while their supervisor is coming back
		kill -9 $xenblkd_pid
		supervise
		kill -9 "$first" "$second"
		;;
	*) kill -9 "$first" "$second" ;;
	esac
	assert "PV guest stuck in round $round" wait_for 60 has_moved "$pv" "$first_count" "$first"
	assert "PVH guest stuck in round $round" wait_for 60 has_moved "$pvh" "$second_count" "$second"
	[ $((round % 5)) -ne 0 ] || say "$round rounds: $(answered "$pv") and $(answered "$pvh") writes"
done
for type in pv pvh; do
	guest_run $type 'touch /tmp/stop'
	assert "fio does not end ($type)" guest_wait_line $type 'FIO rounds=' 300
	say "$type: $(grep -a -o 'FIO rounds=.*' "$(guest_log $type)" | tr -d '\r')"
	grep -aq 'FIO rounds=.* bad=0' "$(guest_log $type)" || {
		guest_run $type 'grep -v "^ " /tmp/bad.log'
		fail "fio in the $type guest"
	}
	assert_eq "what the kernel of $type says of its disk" \
		"$(guest_run $type 'dmesg | grep -i -E "i/o error|blkfront.*(error|fail)|xvda.*(error|fail)|bad response"')" ''
done
assert_eq 'disks with errors' "$(xenblkctl stats --json | grep -o '"errors": *[0-9]*' | grep -vc ': *0$')" 0
for type in pv pvh; do guest_destroy $type; done
assert 'guests are still there' wait_for 30 eval 'guest_gone $pv && guest_gone $pvh'
assert 'workers are still there' wait_for 20 no_workers
xenblkd_stop
inventory > after
assert 'something is left behind' diff before after
