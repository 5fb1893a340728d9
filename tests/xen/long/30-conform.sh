# SPDX-License-Identifier: MIT
# The conformance suite on xenblkd, which fails nothing, and on the kernel's xen-blkback.
# limit: 1800
. /lab/lib.sh
. /lab/tests/conform.inc
make_image rw.img 8
make_image ro.img 8
xenblkd_start
judge xenblkd rw "$(ours "$PWD/rw.img" xvdz)"
judge xenblkd ro "$(ours "$PWD/ro.img" xvdz ro)" --case readonly-disk
xenblkd_stop
[ ! -s failed-xenblkd-rw ] && [ ! -s failed-xenblkd-ro ] || fail 'xenblkd does not conform'

modprobe xen_blkback || exit 0
judge blkback rw "$PWD/rw.img,raw,xvdz,w"
judge blkback ro "$PWD/ro.img,raw,xvdz,r" --case readonly-disk
wait_for 20 modprobe -r xen_blkback
# the kernel warns of what hostile cases did to its own back end: none of our business
dmesg --clear
assert 'xen-blkback fails what is not listed, or not what is' listed blkback
