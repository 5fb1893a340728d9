# SPDX-License-Identifier: MIT
# A front end that vanishes without a word while it is connected, and the next driver that finds the device so (as
# after kexec): it walks Closing, Closed, Initialising, and is served anew. The front end is ours, in dom0, on
# gntalloc; the killed one's requests are in flight.
. /lab/lib.sh
need_xenblkd
need_script
modprobe xen-gntalloc
[ -c /dev/xen/gntalloc ] || skip 'no /dev/xen/gntalloc'
make_image disk.img 4
xenblkd_start
at_end 'xl_ block-detach 0 xvdb'
assert 'block-attach to dom0' xl_ block-attach 0 "$(ours "$PWD/disk.img" xvdb)"
front() { timeout 60 xenblkfront --domain 0 --vdev xvdb "$@"; }
node=/local/domain/0/backend/vbd/0/51728
front read --length 4M > got || fail "front end: status $?"
assert_eq 'what it reads' "$(sum_of got)" "$(sum_of disk.img)"
for round in 1 2 3; do
	front bench --seconds 30 > bench.log 2>&1 &
	assert "not connected ($round)" wait_for 20 eval "[ \"\$(xenstore-read $node/state)\" = 4 ]"
	sleep 1
	kill -9 $(pidof xenblkfront)
	wait $!
	assert_eq "left connected ($round)" "$(xenstore-read $node/state)" 4
	assert "no worker ($round)" test -n "$(workers)"
	head -c 64k "/dev/urandom" > data
	front write --offset "$((round * 64))K" < data || fail "the next front end ($round): status $?"
	assert_eq "what it wrote ($round)" "$(dd if=disk.img bs=64k skip="$round" count=1 status=none | sha256sum)" "$(sha256sum < data)"
done
assert 'detach' xl_ block-detach 0 xvdb
