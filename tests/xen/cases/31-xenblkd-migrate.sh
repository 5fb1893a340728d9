# SPDX-License-Identifier: MIT
# Live migration of a PV guest that writes all the time, within this host: the new domain's disk waits for the
# old one's to let the image go. One that fails leaves the guest where it was.
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 4
xenblkd_start
guest_create g1 pv "$(ours "$PWD/disk.img")"
before=$(guest_id g1)
guest_write g1 /dev/xvda 2 1
guest_run g1 'dd if=/dev/urandom of=/tmp/r bs=1M count=1 2>/dev/null'
guest_run g1 '(n=0; bad=0; while [ ! -e /tmp/stop ]; do dd if=/tmp/r of=/dev/xvda bs=64k oflag=direct conv=fsync 2>/dev/null || bad=$((bad + 1)); dd if=/dev/xvda bs=1M count=1 iflag=direct 2>/dev/null | cmp - /tmp/r || bad=$((bad + 1)); n=$((n + 1)); echo $n > /tmp/rounds; done; echo "WRITER bad=$bad") > /dev/hvc0 2>&1 &'
rounds() { guest_run g1 'cat /tmp/rounds'; }
goes_on() { [ "$(rounds)" -ge "$(($1 + 2))" ]; }
assert 'the guest does not write' wait_for 60 goes_on 0

xl_ migrate -s '' g1 'exit 1' > failed.log 2>&1
assert 'a migration to nowhere succeeded' test $? -ne 0
assert_eq 'the domain after a migration that failed' "$(guest_id g1)" "$before"
assert 'the guest does not go on at home' wait_for 60 goes_on "$(rounds)"
say 'stayed'

xl_ migrate -s '' g1 'exec xl migrate-receive' > migrate.log 2>&1 || {
	cat migrate.log
	fail 'xl migrate'
}
guest_anew g1
assert 'another domain' test "$(guest_id g1)" != "$before"
# the console's log keeps the name that the domain arrived with
guest_log() { echo "/var/log/xen/console/guest-$1--incoming.log"; }
assert 'the guest does not go on where it arrived' wait_for 60 goes_on "$(rounds)"
say "migrated: domain $before is now $(guest_id g1)"
guest_run g1 'touch /tmp/stop'
assert 'the guest saw an error, or does not end' guest_wait_line g1 'WRITER bad=0' 60
assert_eq 'what it reads' "$(guest_sum g1 /dev/xvda 2 1)" "$(guest_written g1)"
assert_eq 'what the file has' "$(sum_range disk.img 0 1)" "$(guest_run g1 'sha256sum < /tmp/r | cut -c1-64')"
assert_eq 'workers' "$(workers | wc -w)" 1
assert_eq 'I/O errors in the guest' "$(guest_run g1 'dmesg | grep -c "I/O error"')" 0
