# SPDX-License-Identifier: MIT
# xenblkfront conform, in dom0, judges xenblkd, the kernel's xen-blkback and (where Debian has it for Xen 4.20) QEMU's
# qdisk. Ours fails nothing; what the others fail must stand in conform-peers.txt, each looked at by hand. The
# results are in the run's logs, for docs/conformance.md.
# limit: 1500
. /lab/lib.sh
need_xenblkd
modprobe xen-gntalloc
[ -c /dev/xen/gntalloc ] || skip 'no /dev/xen/gntalloc'

# judge PEER NAME SPEC OPTION…: the failed cases into failed-PEER-NAME
judge() {
	local peer=$1 name=$2 spec=$3 status
	shift 3
	assert "$peer: block-attach to dom0" xl_ block-attach 0 "$spec"
	timeout 500 xenblkfront --domain 0 --vdev xvdz conform --yes-overwrite --json "$@" > "$peer-$name.json" 2> conform.log
	status=$?
	# a back end that a hostile case has wedged answers no detach either
	xl_ block-detach 0 xvdz || xl_ block-detach --force 0 xvdz
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
	judge qdisk rw "vdev=xvdz,format=raw,access=rw,backendtype=qdisk,target=$PWD/rw.img"
	judge qdisk ro "vdev=xvdz,format=raw,access=ro,backendtype=qdisk,target=$PWD/ro.img" --case readonly-disk
	assert 'qdisk fails what is not listed, or not what is' listed qdisk
fi
