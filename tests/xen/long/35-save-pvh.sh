# SPDX-License-Identifier: MIT
# A PVH guest is saved and goes on, its worker is killed, it is saved and restored (save.inc).
. /lab/lib.sh
. /lab/tests/save.inc
need_xenblkd
need_script
xenblkd_start
save_and_restore pvh
