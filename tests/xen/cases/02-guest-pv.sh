# SPDX-License-Identifier: MIT
# The lab itself: a PV guest runs its script, obeys commands, reports their status and goes.
. /lab/lib.sh
GUEST_SCRIPT='echo "the script says $((6 * 7))"' guest_create g1 pv
assert 'no line of the script' guest_wait_line g1 'the script says 42' 10
assert_eq 'output' "$(guest_run g1 'echo one; echo two')" $'one\ntwo'
guest_run g1 'exit 3'
assert_eq 'status' $? 3
assert_match 'guest kernel' "$(guest_run g1 'cat /sys/hypervisor/type')" xen
id=$(guest_id g1)
guest_destroy g1
assert "domain $id still in xenstore" wait_for 10 guest_gone "$id"
