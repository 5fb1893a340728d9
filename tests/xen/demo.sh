# SPDX-License-Identifier: MIT
# `make demo-xen`, in dom0: a guest boots from a disk that xenblkd serves, says so on its console, and goes on while
# the disk's worker is killed. Its output is shown as it comes; each step is checked all the same.
# limit: 300
. /lab/lib.sh
run() {
	echo "# $*" | sed 's/xl_/xl/; s/fs_sound/e2fsck -fp/'
	"$@"
}
echo "This is domain 0 on $(xl info | sed -nE 's/^(xen_version) *: /Xen /p'), Linux $(uname -r); xen-blkback is not loaded."
echo
make_root_image root.img 16
echo '# xenblkd &'
xenblkd_start
cat xenblkd.log
echo
GUEST_EXTRA='root=/dev/xvda init=/sbin/init' guest_config demo pv "$(ours "$PWD/root.img")" > demo.cfg
grep -E '^(name|type|kernel|extra|disk)' demo.cfg
at_end 'guest_destroy demo'
run xl_ create demo.cfg < /dev/null || fail "xl create: status $?"
assert 'the guest does not come up' guest_wait_line demo 'GUEST UP' 120
echo
echo "The guest's console:"
tr -d '\r' < "$(guest_log demo)" | grep -aE 'blkfront|EXT4-fs|my root is|GUEST UP' | sed 's/^/    /'
assert 'its root is another disk' guest_wait_line demo 'my root is /dev/xvda' 1
echo
id=$(guest_id demo)
run xenblkctl list
run xenblkctl status "$id:xvda"
echo
run xl_ block-list demo
echo
old=$(workers)
guest_run demo '(while [ ! -e /stop ]; do dd if=/dev/urandom of=/data bs=64k count=8 conv=fsync 2> /dev/null || echo "WRITE FAILED"; echo x >> /tmp/rounds; done; echo "WRITER ENDS") > /dev/hvc0 2>&1 &'
echo "The guest writes without a pause; process $old serves its disk."
run kill -9 "$old"
rounds=$(guest_run demo 'wc -l < /tmp/rounds')
more() { [ "$(guest_run demo 'wc -l < /tmp/rounds')" -gt "$((rounds + 2))" ]; }
assert 'the guest is stuck' wait_for 60 more
assert 'the same worker' test "$(workers)" != "$old"
guest_run demo 'touch /stop'
assert 'the writer does not end' guest_wait_line demo 'WRITER ENDS' 60
! grep -aq 'WRITE FAILED\|I/O error' "$(guest_log demo)" || fail 'the guest saw an error'
echo "It did not notice: process $(workers) goes on, $(guest_run demo 'wc -l < /tmp/rounds') rounds written, no error."
run xenblkctl stats "$id:xvda"
echo
run xl_ destroy demo
assert 'the worker is still there' wait_for 10 no_workers
run fs_sound root.img || fail "the file system is damaged"
