# SPDX-License-Identifier: MIT
# An image that is not there: xl create fails, shows the reason, and leaves no domain.
. /lab/lib.sh
need_xenblkd
need_script
xenblkd_start
guest_start g1 pv "$(ours "$PWD/missing.img")" > create.log 2>&1
status=$?
cat create.log
assert "xl create succeeded" test "$status" -ne 0
assert_match "what xl says" "$(cat create.log)" missing.img
assert_eq 'domains' "$(xl list | awk 'NR > 1 { print $2 }')" 0
