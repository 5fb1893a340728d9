# SPDX-License-Identifier: MIT
# xenblkfront conform, in dom0, judges xenblkd, the kernel's xen-blkback and (where Debian has it for Xen 4.20) QEMU's
# qdisk. Ours fails nothing; what the others fail must stand in conform-peers.txt, each looked at by hand. The
# results are in the run's logs, for docs/conformance.md.
# limit: 900
. /lab/lib.sh
need_xenblkd
modprobe xen-gntalloc
[ -c /dev/xen/gntalloc ] || skip 'no /dev/xen/gntalloc'

# judge PEER KIND SPEC: the failed cases into failed-PEER-KIND
judge() {
	local peer=$1 kind=$2 status
	assert "$peer: block-attach to dom0" xl_ block-attach 0 "$3"
	timeout 400 xenblkfront --domain 0 --vdev xvdz conform --yes-overwrite --json > "$peer-$kind.json" 2> conform.log
	status=$?
	xl_ block-detach 0 xvdz || xl_ block-detach --force 0 xvdz
	cp "$peer-$kind.json" "/lab/logs/conform-$peer-$kind.json"
	tail -n 3 conform.log
	[ "$status" -le 1 ] || fail "$peer: xenblkfront conform: status $status"
	python3 - "$peer-$kind.json" <<- 'PY' > "failed-$peer-$kind" || fail "$peer: no result"
		import collections, json, sys
		cases = json.load(open(sys.argv[1]))["cases"]
		for c in cases:
		    if c["result"] == "fail":
		        print(c["name"] + "\t" + c["detail"])
		print(sys.argv[1], dict(collections.Counter(c["result"] for c in cases)), file=sys.stderr)
	PY
}
# listed PEER: what differs between the list and what failed
listed() {
	diff <(awk -F'|' -v p="$1" '/^#/ { next } { gsub(/^ +| +$/, "", $1); gsub(/^ +| +$/, "", $2) } $1 == p { print $2 }' \
		/lab/tests/conform-peers.txt | sort -u) <(cut -f1 "failed-$1"-* | sort -u)
}

make_image rw.img 8
make_image ro.img 8
xenblkd_start
judge xenblkd rw "$(ours "$PWD/rw.img" xvdz)"
judge xenblkd ro "$(ours "$PWD/ro.img" xvdz ro)"
cat failed-xenblkd-*
xenblkd_stop
[ ! -s failed-xenblkd-rw ] && [ ! -s failed-xenblkd-ro ] || fail 'xenblkd does not conform'

if modprobe xen_blkback; then
	judge blkback rw "$PWD/rw.img,raw,xvdz,w"
	judge blkback ro "$PWD/ro.img,raw,xvdz,r"
	cat failed-blkback-*
	wait_for 20 modprobe -r xen_blkback
	assert 'xen-blkback fails what is not listed, or not what is' listed blkback
fi
if have_qemu; then
	judge qdisk rw "vdev=xvdz,format=raw,access=rw,backendtype=qdisk,target=$PWD/rw.img"
	judge qdisk ro "vdev=xvdz,format=raw,access=ro,backendtype=qdisk,target=$PWD/ro.img"
	cat failed-qdisk-*
	assert 'qdisk fails what is not listed, or not what is' listed qdisk
fi
