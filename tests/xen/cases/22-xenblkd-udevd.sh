# SPDX-License-Identifier: MIT
# systemd-udevd in dom0. Without our modprobe.d file it loads xen-blkback for the first disk of kind vbd: xl is
# told who owns the disk and what would do. With the file, the disk is ours and stays so.
. /lab/lib.sh
need_xenblkd
need_script
make_image disk.img 4
sum=$(sum_of disk.img)
udevd=/usr/lib/systemd/systemd-udevd
[ -x $udevd ] || udevd=/lib/systemd/systemd-udevd
at_end 'kill $(pidof systemd-udevd); rm -f /etc/modprobe.d/xenblkd.conf; wait_for 10 modprobe -r xen_blkback'
$udevd --daemon || skip 'udevd does not start'
udevadm settle --timeout=30
xenblkd_start

guest_start g1 pv "$(ours "$PWD/disk.img")" > create.log 2>&1
status=$?
cat create.log
assert 'udevd did not load xen_blkback: nothing is shown here' test -d /sys/module/xen_blkback
assert 'xl create succeeded' test "$status" -ne 0
assert_match 'what xl says' "$(cat create.log)" 'xen_blkback owns this device'
assert_match 'the way out' "$(cat create.log)" 'blacklist it or use backendtype=tap'
guest_destroy g1
assert 'xen_blkback cannot be unloaded' wait_for 20 modprobe -r xen_blkback

cp /lab/packaging/modprobe.d-xenblkd.conf /etc/modprobe.d/xenblkd.conf
udevadm control --reload
guest_create g2 pv "$(ours "$PWD/disk.img")"
udevadm settle --timeout=30
assert 'xen_blkback was loaded' test ! -d /sys/module/xen_blkback
assert_eq 'what the guest reads' "$(guest_sum g2 /dev/xvda 0 4)" "$sum"
assert 'modprobe loads it' eval '! modprobe xen_blkback'
assert_eq 'driver' "$(readlink /sys/bus/xen-backend/devices/vbd-*/driver)" ''
