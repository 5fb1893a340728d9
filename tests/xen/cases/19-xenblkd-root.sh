# SPDX-License-Identifier: MIT
# A guest's root file system is on our disk. The guest is restarted three ways (by itself, by xl reboot, by a
# panic): each time a new domain finds its files again, and the old one's worker is gone.
. /lab/lib.sh
need_xenblkd
need_script
make_root_image root.img 16
xenblkd_start
GUEST_EXTRA='root=/dev/xvda init=/sbin/init' GUEST_ON_REBOOT=restart GUEST_ON_CRASH=restart \
	guest_create g1 pv "$(ours "$PWD/root.img")"
assert 'the root file system is another one' guest_wait_line g1 'my root is /dev/xvda' 5

# back ID HOW: the guest comes up as another domain than ID, and its files are there
back() {
	assert "not back ($2)" wait_for 120 eval "[ \"\$(guest_id g1)\" != $1 ] && [ -n \"\$(guest_id g1)\" ]"
	guest_anew g1
	assert "not up ($2)" guest_wait_line g1 "GUEST UP" 120
	assert_eq "its files ($2)" "$(guest_run g1 'cat /file')" "$3"
	assert_eq "workers ($2)" "$(workers | wc -w)" 1
	say "$2: domain $1, then $(guest_id g1)"
}
restart() {
	local id word="written before: $1"
	id=$(guest_id g1)
	guest_run g1 "echo $word > /file; sync"
	# the log is the same file for the next domain of that name
	: > "$(guest_log g1)"
	eval "$2"
	back "$id" "$1" "$word"
}
restart 'reboot in the guest' "guest_send g1 bye 'reboot -f'"
restart 'xl reboot' 'xl_ reboot -F g1 || guest_send g1 bye "reboot -f"'
restart panic "guest_send g1 bye 'echo c > /proc/sysrq-trigger'"
assert 'xl destroy' guest_destroy g1
assert 'file system' fs_sound root.img
