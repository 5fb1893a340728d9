# SPDX-License-Identifier: MIT
# The same guest on the kernel's xen-blkback, on xenblkd and (where Debian has it for Xen 4.20) on QEMU's qdisk, over
# the same loop device: every xenstore key of either side, what the guest's kernel shows of the disk, the results
# of reads, writes, flushes, discards and errors. Each difference must stand in differences.txt with its reason,
# and what stands there must be so.
. /lab/lib.sh
need_xenblkd
make_image disk.img 4
GUEST_SCRIPT=$(cat /lab/tests/observe.inc)
export GUEST_SCRIPT

# keys NAME DISK DIRECTORY: one line a key; what differs from one run to the next is made equal
keys() {
	xenstore-ls -f "$3" | sed -E -e "s|^$3/?||" -e 's|^([^ ]*) = "(.*)"$|\1\t\2|' |
		sed -E -e "s,/(domain|vbd|qdisk)/[1-9][0-9]*/,/\1/N/,g" -e 's/^(frontend-id)\t.*/\1\tN/' \
			-e 's/^((queue-[0-9]+\/)?(ring-ref[0-9]*|event-channel))\t.*/\1\t#/' \
			-e 's,/dev/loop[0-9]+,/dev/loopN,; s/\t7:[0-9]+$/\t7:N/' \
			-e "s,/tmp/[^ ]*/,,; s,/backend/(vbd|qdisk)/,/backend/KIND/," |
		awk -F'\t' -v what="$1 $2" '$1 !~ / = / && NF == 2 { print what " " $1 "\t" $2 }'
}

# observe PEER KIND SPEC-OF-A [SPEC-OF-B]: everything into the file PEER
observe() {
	local peer=$1 kind=$2 id dev name
	cp disk.img a.img
	cp disk.img b.img
	guest_create "$peer" pv "${@:3}"
	id=$(guest_id "$peer")
	for dev in 51712 ${4:+51728}; do
		wait_for 20 eval "[ \"\$(xenstore-read /local/domain/$id/device/vbd/$dev/state)\" = 4 ]" ||
			fail "$peer: $dev is not connected: $(tail -n 5 /var/log/xen/qemu-*"$peer"*.log 2> /dev/null)"
	done
	for dev in 51712:xvda ${4:+51728:xvdb}; do
		name=${dev#*:}
		dev=${dev%:*}
		keys back "$name" "/local/domain/0/backend/$kind/$id/$dev"
		keys front "$name" "/local/domain/$id/device/vbd/$dev"
	done > "$peer"
	guest_run "$peer" observe 120 > out || fail "$peer: observing failed"
	sed -n 's/^OBS //p' out | tr '~' '\t' >> "$peer"
	assert "$peer: $(wc -l < "$peer") lines observed" test "$(wc -l < "$peer")" -gt 60
	sort -o "$peer" "$peer"
	guest_destroy "$peer"
	assert "$peer: loop device left" wait_for 20 eval '[ -z "$(losetup -a)" ]'
	say "$peer: $(wc -l < "$peer") lines"
}

# compare PEER: against ours; prints what is not as listed
compare() {
	awk -F'\t' -v peer="$1" -v suite="$suite" '
		function trim(s) { gsub(/^ +| +$/, "", s); return s }
		FILENAME ~ /differences.txt$/ {
			if ($0 ~ /^#/ || $0 !~ /\|/) next
			n = split($0, f, /\|/)
			if (trim(f[1]) != "*" && trim(f[1]) != suite || trim(f[2]) != peer) next
			if (n != 6 || trim(f[6]) == "") { print "not a line of six fields: " $0; next }
			item = trim(f[3]); listed[item] = trim(f[4]) " / " trim(f[5]); next
		}
		FILENAME == peer { theirs[$1] = $2; seen[$1]; next }
		{ ours[$1] = $2; seen[$1] }
		END {
			for (i in seen) {
				a = i in theirs ? theirs[i] : "-"
				b = i in ours ? ours[i] : "-"
				if (a == b) continue
				if (!(i in listed)) print "not listed: " i " | " a " | " b
				else if (listed[i] != a " / " b) print "listed otherwise: " i " | " a " | " b
				found[i]
			}
			for (i in listed) if (!(i in found)) print "listed, but no difference: " i
		}' /lab/tests/differences.txt "$1" xenblkd | sort
}

phy() { observe "$1" vbd "$PWD/a.img,raw,xvda,w" "$PWD/b.img,raw,xvdb,r"; }
modprobe xen_blkback || skip 'no xen_blkback in this kernel'
phy blkback
assert 'xen_blkback cannot be unloaded' wait_for 20 modprobe -r xen_blkback
xenblkd_start
phy xenblkd
compare blkback > unlisted
if have_qemu; then
	qdisk() { echo "vdev=$2,format=raw,access=$3,backendtype=qdisk,target=$1"; }
	# no read-only one: QEMU 10 says "Block node is read-only" of its own raw node, and drops the disk
	observe qdisk qdisk "$(qdisk "$PWD/a.img" xvda rw)"
	sed -i '/xvdb\|read-only disk/d' qdisk xenblkd
	compare qdisk | sed 's/^/qdisk: /' >> unlisted
else
	say 'no QEMU in this dom0: qdisk is not compared'
fi
cat unlisted
assert_eq 'differences that are not on the list' "$(wc -l < unlisted)" 0
