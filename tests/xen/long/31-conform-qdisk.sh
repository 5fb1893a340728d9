# SPDX-License-Identifier: MIT
# The conformance suite on QEMU's qdisk, where Debian has QEMU for Xen. QEMU dies of some cases: another one goes on
# with the next.
# limit: 1800
. /lab/lib.sh
have_qemu || skip 'no QEMU in this dom0'
. /lab/tests/conform.inc
cp "/proc/$(cat /run/qemu-dom0.pid)/cmdline" qemu.line
make_image rw.img 8
judge qdisk rw "qdisk:$PWD/rw.img"
echo "QEMU has died $(wc -l < died) times"
assert 'qdisk fails what is not listed, or not what is' listed qdisk
