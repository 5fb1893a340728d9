# SPDX-License-Identifier: MIT
# Detaching what does not want to go: a guest that holds the disk open, a guest that runs no front end, a
# supervisor that is dead (then xl gives up and leaves the nodes as they are, which the next start answers; or
# --force removes them, and the next start finds nothing to do).
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 4
make_image second.img 4
inventory > before
xenblkd_start
guest_create g1 pv "$(ours "$PWD/disk.img")"
id=$(guest_id g1)

guest_run g1 'sleep 1000 < /dev/xvda > /dev/null 2>&1 &'
began=$SECONDS
assert 'block-detach of an open disk' xl_ block-detach g1 xvda
say "an open disk went after $((SECONDS - began)) s"
assert_eq 'its node' "$(xenstore-ls "/local/domain/0/backend/vbd/$id/51712" 2> /dev/null)" ''
assert 'its worker' wait_for 10 no_workers
guest_run g1 'killall sleep'

xl_ pause g1
assert 'block-attach to a paused guest' xl_ block-attach g1 "$(ours "$PWD/second.img" xvdb)"
assert_eq 'front end' "$(xenstore-read "/local/domain/$id/device/vbd/51728/state")" 1
assert 'block-detach without a front end' xl_ block-detach g1 xvdb
assert 'its worker' wait_for 10 no_workers
xl_ unpause g1

attach_and_die() {
	assert 'block-attach' xl_ block-attach g1 "$(ours "$PWD/second.img" xvdb)"
	assert 'no xvdb in the guest' wait_for 30 guest_run g1 'test "$(cat /sys/block/xvdb/size)" = 8192'
	kill -9 "$xenblkd_pid"
}
state() { xenstore-read "/local/domain/0/backend/vbd/$id/51728/state"; }
attach_and_die
xl_ block-detach g1 xvdb
assert 'detached without a supervisor' test $? -ne 0
assert_eq 'what xl left' "$(state) $(xenstore-read "/local/domain/0/backend/vbd/$id/51728/online")" '5 0'
xenblkd_start
assert 'the removal is not answered' wait_for 10 eval '[ "$(state)" = 6 ]'
assert 'block-detach, once more' xl_ block-detach g1 xvdb
assert 'its worker' wait_for 10 no_workers
say 'answered by the next supervisor'

attach_and_die
# libxl waits 10 s for an answer, then removes the nodes; its status is 1 all the same
xl_ block-detach --force g1 xvdb
assert_eq 'nodes after --force' "$(xenstore-ls "/local/domain/0/backend/vbd/$id/51728" 2> /dev/null)" ''
xenblkd_start
assert 'the orphaned worker' wait_for 10 no_workers
guest_destroy g1
xenblkd_stop
inventory > after
assert 'something is left' diff before after
