# SPDX-License-Identifier: MIT
# The lab itself: a PVH guest boots with hardware-assisted paging.
. /lab/lib.sh
GUEST_CONFIG='hap = 1' guest_create g1 pvh
assert_eq 'processors' "$(guest_run g1 'grep -c ^processor /proc/cpuinfo')" 1
