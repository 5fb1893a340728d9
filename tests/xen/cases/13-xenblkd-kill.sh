# SPDX-License-Identifier: MIT
# kill -9 of the worker, twice, while a real guest writes without a pause: the guest sees no error and goes
# on, each time with a new worker, and all it wrote is there.
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 4
xenblkd_start
GUEST_VCPUS=2 guest_create g1 pv "$(ours "$PWD/disk.img")"
guest_run g1 'dd if=/dev/urandom of=/tmp/r bs=1M count=1 2>/dev/null'
guest_run g1 '(n=0; bad=0; while [ ! -e /tmp/stop ]; do dd if=/tmp/r of=/dev/xvda bs=16k oflag=direct conv=fsync 2>/dev/null || bad=$((bad + 1)); n=$((n + 1)); echo $n > /tmp/rounds; done; echo "WRITER bad=$bad") > /dev/hvc0 2>&1 &'

# another_round: the guest has finished a round that began after now
another_round() {
	local from=$1
	[ "$(guest_run g1 'cat /tmp/rounds')" -ge "$((from + 2))" ]
}
for try in 1 2; do
	assert "guest does not write ($try)" wait_for 60 another_round 0
	old=$(workers)
	assert "one worker ($try)" test "$(wc -w <<< "$old")" -eq 1
	kill -9 "$old"
	rounds=$(guest_run g1 'cat /tmp/rounds')
	assert "guest is stuck after kill $try" wait_for 60 another_round "$rounds"
	assert "no new worker ($try)" test -n "$(workers)" -a "$(workers)" != "$old"
	say "killed $old in round $rounds, goes on with $(workers)"
done
guest_run g1 'touch /tmp/stop'
assert 'guest saw an error, or does not end' guest_wait_line g1 'WRITER bad=0' 60
assert_eq 'what the file has' "$(sum_range disk.img 0 1)" "$(guest_run g1 'sha256sum < /tmp/r | cut -c1-64')"
assert_eq 'I/O errors in the guest' "$(guest_run g1 'dmesg | grep -c "I/O error"')" 0
