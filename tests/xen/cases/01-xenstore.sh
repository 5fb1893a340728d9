# SPDX-License-Identifier: MIT
# The lab itself: xenstore keeps what is written and wakes who watches.
. /lab/lib.sh
at_end 'xenstore-rm /lab'
assert_eq 'own domid' "$(xenstore-read domid)" 0
xenstore-watch -n 2 /lab > events &
sleep 1
xenstore-write /lab/a/b 'one two'
assert 'no event' wait_for 10 grep -qx /lab/a/b events
assert_eq value "$(xenstore-read /lab/a/b)" 'one two'
xenstore-rm /lab
assert_eq 'removed' "$(xenstore-read /lab/a/b 2> /dev/null)" ''
