# SPDX-License-Identifier: MIT
# bench-grants in dom0 of the lab: LAB_SHOW=1 tests/xen/lab run bookworm bench/grants.sh
. /lab/lib.sh
modprobe xen-gntalloc
bench-grants || fail "bench-grants: status $?"
