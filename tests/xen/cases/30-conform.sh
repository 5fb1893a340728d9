# SPDX-License-Identifier: MIT
# xenblkfront conform, in dom0, judges xenblkd, the kernel's xen-blkback and (where Debian has it for Xen 4.20) QEMU's
# qdisk. Ours fails nothing; what the others fail must stand in conform-peers.txt, each looked at by hand. The
# results are in the run's logs, for docs/conformance.md.
# limit: 1500
. /lab/lib.sh
need_xenblkd
modprobe xen-gntalloc
[ -c /dev/xen/gntalloc ] || skip 'no /dev/xen/gntalloc'

# A disk of dom0's own QEMU, as libxl would write it: xl refuses to attach one ("device model required but not
# running"), for it looks for the QEMU of a guest.
number=268441856 # xvdz
by_hand() {
	local back=/local/domain/0/backend/qdisk/0/$number front=/local/domain/0/device/vbd/$number
	xenstore-write $front/backend $back $front/backend-id 0 $front/virtual-device $number $front/device-type disk \
		$front/state 1 $back/frontend $front $back/frontend-id 0 $back/online 1 $back/removable 0 $back/bootable 1 \
		$back/dev xvdz $back/type qdisk $back/mode w $back/device-type disk $back/discard-enable 1 \
		$back/params "aio:$1" $back/state 1
	wait_for 20 eval "[ \"\$(xenstore-read $back/state)\" = 2 ]"
}
away_by_hand() {
	local back=/local/domain/0/backend/qdisk/0/$number
	xenstore-write $back/online 0 $back/state 5
	wait_for 10 eval "! xenstore-exists $back/state || [ \"\$(xenstore-read $back/state)\" = 6 ]"
	xenstore-rm $back /local/domain/0/device/vbd/$number
}
attach() {
	case $1 in
	qdisk:*) by_hand "${1#qdisk:}" ;;
	*) xl_ block-attach 0 "$1" ;;
	esac
}
# a back end that a hostile case has wedged answers no detach
detach() {
	case $1 in
	qdisk:*) away_by_hand ;;
	*) xl_ block-detach 0 xvdz || xl_ block-detach --force 0 xvdz ;;
	esac
}

# judge PEER NAME SPEC OPTION…: the failed cases into failed-PEER-NAME
judge() {
	local peer=$1 name=$2 spec=$3 status
	shift 3
	assert "$peer: no disk for dom0" attach "$spec"
	timeout 500 xenblkfront --domain 0 --vdev xvdz conform --yes-overwrite --json "$@" > "$peer-$name.json" 2> conform.log
	status=$?
	detach "$spec"
	cp "$peer-$name.json" "/lab/logs/conform-$peer-$name.json"
	tail -n 3 conform.log
	[ "$status" -le 1 ] || fail "$peer: xenblkfront conform: status $status"
	python3 - "$peer-$name.json" <<- 'PY' > "failed-$peer-$name" || fail "$peer: no result"
		import collections, json, sys
		cases = json.load(open(sys.argv[1]))["cases"]
		for c in cases:
		    if c["result"] == "fail":
		        print(c["name"] + "\t" + c["detail"])
		print(sys.argv[1], dict(collections.Counter(c["result"] for c in cases)), file=sys.stderr)
	PY
	cat "failed-$peer-$name"
}
# listed PEER: what differs between the list and what failed
listed() {
	diff <(awk -F'|' -v p="$1" -v suite="$suite" '
		/^#/ || NF != 4 { next }
		{ for (i = 1; i <= 3; i++) gsub(/^ +| +$/, "", $i) }
		($1 == "*" || $1 == suite) && $2 == p { print $3 }' /lab/tests/conform-peers.txt | sort -u) \
		<(cut -f1 "failed-$1"-* | sort -u)
}

make_image rw.img 8
make_image ro.img 8
xenblkd_start
judge xenblkd rw "$(ours "$PWD/rw.img" xvdz)"
judge xenblkd ro "$(ours "$PWD/ro.img" xvdz ro)" --case readonly-disk
xenblkd_stop
[ ! -s failed-xenblkd-rw ] && [ ! -s failed-xenblkd-ro ] || fail 'xenblkd does not conform'

if modprobe xen_blkback; then
	judge blkback rw "$PWD/rw.img,raw,xvdz,w"
	judge blkback ro "$PWD/ro.img,raw,xvdz,r" --case readonly-disk
	wait_for 20 modprobe -r xen_blkback
	# the kernel warns of what hostile cases did to its own back end: none of our business
	dmesg --clear
	assert 'xen-blkback fails what is not listed, or not what is' listed blkback
fi
if have_qemu; then
	judge qdisk rw "qdisk:$PWD/rw.img"
	assert 'qdisk fails what is not listed, or not what is' listed qdisk
fi
