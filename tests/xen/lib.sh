# SPDX-License-Identifier: MIT
# For the tests that run in dom0: `. /lab/lib.sh` is their first line. Guests, xl with bounded waits,
# assertions, the daemon. A test passes with exit status 0; fail and skip end it with their reason.
# One comment line "# limit: SECONDS" sets its time limit (600 if there is none).
# shellcheck shell=bash
set -u

say() {
	local uptime
	read -r uptime _ < /proc/uptime
	printf '%8.1f  %s\n' "$uptime" "$*"
}
fail() {
	trap - EXIT
	cleanup
	[ ! -s xenblkd.log ] || { echo '-- xenblkd.log' && tail -n 40 xenblkd.log; }
	echo "FAILED: $*"
	exit 1
}
skip() {
	trap - EXIT
	cleanup
	echo "SKIPPED: $*"
	exit 77
}
assert() {
	local what=$1
	shift
	"$@" || fail "$what ($*)"
}
assert_eq() {
	[ "$2" = "$3" ] || fail "$1: \"$2\" where \"$3\" is right"
}
assert_match() {
	[[ $2 == *$3* ]] || fail "$1: \"$2\" has no \"$3\""
}

# at_end 'COMMAND': run when the test ends, whichever way; the last one first.
at_end_commands=()
at_end() { at_end_commands=("$1" "${at_end_commands[@]}"); }
cleanup() {
	local c
	for c in "${at_end_commands[@]}"; do eval "$c" > /dev/null 2>&1; done
	at_end_commands=()
}
trap cleanup EXIT

# pause SECONDS: sleep, without a process: under emulation each costs more than 50 ms.
[ -p /run/never ] || mkfifo /run/never
pause() { read -rt "$1" <> /run/never || :; }

# wait_for SECONDS COMMAND…: until it succeeds.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" > /dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		pause 0.1
	done
}

# xl, but never for ever.
xl_() { timeout -k 2 "${XL_LIMIT:-180}" xl "$@"; }

# make_image PATH MIB: random content, another one at each call.
image_at=0
make_image() {
	dd if=/lab/random of="$1" bs=1M skip="$image_at" count="$2" status=none
	[ "$(stat -c %s "$1")" = $(($2 << 20)) ] || fail "make_image: a test has 32 MiB of random data"
	image_at=$((image_at + $2))
}
# make_root_image PATH MIB: a file system that a guest boots with root=/dev/… init=/sbin/init; it says so and obeys.
make_root_image() {
	local tree=/tmp/root-tree
	mkdir -p $tree/{bin,dev,proc,sys,tmp,sbin,mnt,run}
	cp /bin/busybox $tree/bin/
	ln -s busybox $tree/bin/sh
	cp /lab/guest/guest-obey $tree/
	cat > $tree/sbin/init <<- 'INIT'
		#!/bin/sh
		/bin/busybox --install -s /bin
		export PATH=/bin HOME=/
		mount -t tmpfs tmp /tmp
		echo "my root is $(sed -n 's/ \/ .*//p' /proc/mounts | tail -n 1)" > /dev/hvc0
		. /guest-obey
	INIT
	chmod 755 $tree/sbin/init
	mke2fs -q -t ext4 -d $tree "$1" "$2M" > /dev/null
	rm -rf $tree
}
# fs_sound IMAGE: nothing is wrong with the file system, once its journal was played.
fs_sound() {
	e2fsck -fp "$1"
	[ $? -le 1 ] && e2fsck -fn "$1" > /dev/null 2>&1
}
sum_of() {
	local sum
	read -r sum _ < <(sha256sum < "$1")
	echo "$sum"
}
# sum_range FILE FIRST_MIB MIBS
sum_range() {
	local sum
	read -r sum _ < <(dd if="$1" bs=1M skip="$2" count="$3" status=none | sha256sum)
	echo "$sum"
}

# Guests. Each is the kernel of dom0 with a small initial file system; it obeys guest_run.

guest_log() { echo "/var/log/xen/console/guest-$1.log"; }
guest_id() { xl_ domid "$1" 2> /dev/null; }
# The terminal of a guest's console, while it is there; and what guest_write wrote last.
declare -A guest_tty guest_written

# What an emulated kernel takes seconds for, and no test looks at.
quick_boot='noreplace-smp cryptomgr.notests'

# guest_config NAME TYPE DISKSPEC…: prints an xl configuration. TYPE: pv or pvh.
# From the environment: GUEST_SCRIPT (runs at the start), GUEST_MEMORY, GUEST_VCPUS, GUEST_EXTRA (kernel
# command line), GUEST_CONFIG (more lines), GUEST_ON_REBOOT, GUEST_ON_CRASH, GUEST_KERNEL, GUEST_INITRD.
guest_config() {
	local name=$1 type=$2 disk initrd=${GUEST_INITRD:-/lab/guest/initrd}
	shift 2
	if [ -n "${GUEST_SCRIPT:-}" ]; then
		mkdir -p "/tmp/guest-$name"
		initrd=/tmp/guest-$name/initrd
		printf '%s\n' "$GUEST_SCRIPT" > "/tmp/guest-$name/script"
		cp "${GUEST_INITRD:-/lab/guest/initrd}" "$initrd"
		(cd "/tmp/guest-$name" && echo script | busybox cpio -o -H newc 2> /dev/null) >> "$initrd"
	fi
	cat <<- CFG
		name = "$name"
		type = "$type"
		memory = ${GUEST_MEMORY:-160}
		vcpus = ${GUEST_VCPUS:-1}
		kernel = "${GUEST_KERNEL:-/lab/guest/vmlinuz}"
		ramdisk = "$initrd"
		extra = "console=hvc0 loglevel=4 panic=1 $quick_boot ${GUEST_EXTRA:-}"
		on_crash = "${GUEST_ON_CRASH:-destroy}"
		on_reboot = "${GUEST_ON_REBOOT:-destroy}"
	CFG
	# with nested paging the emulator kills a PVH guest now and then (see dom0-init); Xen 4.20 has nothing else
	[ "$type $xen" != 'pvh 4.17' ] || [[ ${GUEST_CONFIG:-} == *hap* ]] || echo 'hap = 0'
	printf 'disk = ['
	for disk in "$@"; do printf ' "%s",' "$disk"; done
	printf ' ]\n%s\n' "${GUEST_CONFIG:-}"
}

# guest_start NAME TYPE DISKSPEC…: xl create; its status is the caller's to judge.
guest_start() {
	local name=$1
	guest_config "$@" > "/tmp/$name.cfg"
	rm -f "$(guest_log "$name")"
	at_end "guest_destroy $name"
	xl_ create "/tmp/$name.cfg" < /dev/null
}

# guest_create NAME TYPE DISKSPEC…: and waits until it obeys.
guest_create() {
	guest_start "$@" || fail "xl create $1: status $?"
	local id polls=0
	id=$(guest_id "$1")
	# every 3 s whether it is still there, which takes a process
	until guest_is_up "$1" || [ $((polls += 1)) -gt 1200 ]; do
		pause 0.2
		[ $((polls % 15)) -ne 0 ] || ! guest_gone "$id" || break
	done
	guest_is_up "$1" || {
		tail -n 15 "$(guest_log "$1")" | tr -d '\r'
		fail "guest $1 $(guest_gone "$id" && echo 'ended before it was up' || echo 'is not up after 240 s')"
	}
	guest_tty[$1]=$(xenstore-read "/local/domain/$id/console/tty")
	say "guest $1 is up ($2)"
}
# log_has FILE TEXT: without a process, for this is asked often
log_has() {
	local lines=()
	[ ! -e "$1" ] || mapfile lines < "$1"
	[[ ${lines[*]} == *"$2"* ]]
}
guest_is_up() { log_has "/var/log/xen/console/guest-$1.log" 'GUEST UP'; }

# guest_wait_line NAME TEXT SECONDS: until its console has said TEXT.
guest_wait_line() {
	wait_for "$3" log_has "$(guest_log "$1")" "$2"
}

# guest_send NAME ID COMMAND: does not wait; guest_wait_line NAME "<<ID " does.
guest_send() {
	local tty=${guest_tty[$1]:-}
	[ -c "$tty" ] || tty=$(xenstore-read "/local/domain/$(guest_id "$1")/console/tty") || return 1
	printf '%s %s\n' "$2" "$3" > "$tty"
}

# guest_run NAME COMMAND [SECONDS]: one line of shell in the guest; prints what it prints and returns
# its status, 124 if it took too long. Lines over 4000 characters do not pass.
guest_run() {
	local id=r$RANDOM$RANDOM log from lines=() line begun='' i n end=$((SECONDS + ${3:-60}))
	log=$(guest_log "$1")
	[ ! -e "$log" ] || mapfile lines < "$log"
	from=${#lines[@]}
	# a line that has no end yet may go on with what the command prints
	[ "$from" -eq 0 ] || [[ ${lines[-1]} == *$'\n' ]] || {
		from=$((from - 1))
		begun=${lines[-1]}
	}
	guest_send "$1" "$id" "$2" || return 125
	while [ "$SECONDS" -le "$end" ]; do
		pause 0.05
		mapfile -s "$from" lines < "$log"
		for i in "${!lines[@]}"; do
			# whole, or the next command would find the rest of it; the kernel may say something behind it
			[[ ${lines[i]} == "<<$id "*'>>'*$'\n' ]] || continue
			# an empty line comes before it
			n=$i
			[ "$i" -eq 0 ] || [[ ${lines[i - 1]} != [$'\r\n']* ]] || n=$((i - 1))
			line=${lines[i]#* }
			lines=("${lines[@]:0:n}")
			[ "$n" -eq 0 ] || lines[0]=${lines[0]#"$begun"}
			printf '%s' "${lines[@]//$'\r'/}"
			return "${line%%>>*}"
		done
	done
	return 124
}

# guest_sum NAME DEVICE FIRST_MIB MIBS: checksum of what the guest reads, its cache bypassed.
guest_sum() {
	guest_run "$1" "dd if=$2 bs=1M skip=$3 count=$4 iflag=direct 2>/dev/null | sha256sum | cut -c1-64" 90
}

# guest_write NAME DEVICE FIRST_MIB MIBS: random data, past the guest's cache, and flushed; guest_written NAME is
# its checksum.
guest_write() {
	local sum
	sum=$(guest_run "$1" "dd if=/dev/urandom of=/tmp/written bs=1M count=$4 2>/dev/null; dd if=/tmp/written of=$2 bs=1M seek=$3 oflag=direct conv=fsync 2>/dev/null && sha256sum < /tmp/written" 90) ||
		fail "guest $1 cannot write"
	guest_written[$1]=${sum%% *}
}
guest_written() {
	echo "${guest_written[$1]}"
}

guest_destroy() {
	guest_anew "$1"
	! guest_id "$1" > /dev/null || xl_ destroy "$1"
}
# guest_anew NAME: it is, or will be, another domain: its terminal is another one.
guest_anew() { unset "guest_tty[$1]"; }
guest_gone() { ! xenstore-exists "/local/domain/$1" 2> /dev/null; }

# The daemon, from the build directory.

need_xenblkd() {
	[ -x /lab/bin/xenblkd ] || fail "no xenblkd in this build directory (make build-it)"
	/lab/bin/xenblkd --version > /dev/null || fail "xenblkd does not run in this dom0"
}
need_script() {
	[ -x /etc/xen/scripts/block-xenblkd ] || skip "no hotplug script (packaging/block-xenblkd)"
}

# xenblkd_start OPTION…: and waits for "ready". Its log: xenblkd.log in the test's directory.
xenblkd_start() {
	xenblkd "$@" > xenblkd.log 2>&1 &
	xenblkd_pid=$!
	at_end xenblkd_stop
	wait_for 20 xenblkd_ready || {
		cat xenblkd.log
		fail "xenblkd does not say ready"
	}
}
xenblkd_ready() { grep -qx ready xenblkd.log || ! kill -0 "$xenblkd_pid"; }
xenblkd_stop() {
	[ -n "${xenblkd_pid:-}" ] || return 0
	kill "$xenblkd_pid" 2> /dev/null
	wait_for 15 eval "! kill -0 $xenblkd_pid" || kill -9 "$xenblkd_pid"
	xenblkd_pid=
}

# programs_of NAME…: process ids, by their program; a worker calls itself by its disk.
programs_of() {
	ls -l /proc/[0-9]*/exe 2> /dev/null | awk -v want=" $* " '
		$10 == "->" {
			split($9, from, "/")
			n = split($11, to, "/")
			if (index(want, " " to[n] " "))
				print from[3]
		}'
}
workers() { programs_of xenblkd-worker; }
no_workers() { [ -z "$(workers)" ]; }

# Whether a QEMU serves kind qdisk in this dom0.
have_qemu() { [ -s /run/qemu-dom0.pid ]; }

# ours PATH [VDEV] [OPTION…]: a disk specification for xenblkd on kind vbd.
ours() { echo "vdev=${2:-xvda},format=raw,access=${3:-rw},script=block-xenblkd,target=$1"; }

# inventory: what a test may not leave behind, in comparable lines.
inventory() {
	xenstore-ls -f 2> /dev/null | grep -E '/backend/|^/local/domain/[1-9]|^/vm/|^/libxl/[1-9]' | grep -v '^/vm/00000000-0000'
	"/usr/lib/xen-$xen/bin/lsevtchn" 0 2> /dev/null | grep -v -i virq | sed 's/^ *[0-9]*: //' | sort
	losetup -a
	programs_of xenblkd xenblkd-worker xenblkd-holder | sed 's/.*/a process of ours/'
	grep -l '/dev/xen/gntdev' /proc/[0-9]*/maps 2> /dev/null | sed 's/.*/a process maps grants/'
	# the lock file of a supervisor that has ended stays on purpose
	ls /run/xenblkd 2> /dev/null | grep -vx lock
}

# with_libraries DIR PROGRAM…: copies them and the libraries they need to the same paths under DIR.
with_libraries() {
	local dir=$1
	shift
	mkdir -p "$dir"
	cp -L --parents -t "$dir" "$@" $(ldd "$@" 2> /dev/null | grep -oE '/[^ :]*\.so[^ :]*' | sort -u)
}

# initrd_with TREE OUT: the guests' initial file system with what is in TREE added. TREE is deleted.
initrd_with() {
	cp /lab/guest/initrd "$2"
	(cd "$1" && find . | busybox cpio -o -H newc 2> /dev/null) >> "$2"
	rm -rf "$1"
}

# driver_create NAME: a PV guest that can be a back end: our programs, xl, the xenstore tools. It has no disk;
# images are in its memory.
driver_create() {
	local name=$1 tree=/tmp/driver-$1
	mkdir -p "$tree"/{bin,etc/xen/scripts,proc/xen,run/xen,run/lock,var/lib/xen,var/log/xen}
	with_libraries "$tree" /lab/bin/xenblkd /lab/bin/xenblkd-worker /lab/bin/xenblkd-holder /lab/bin/xenblkctl /lab/bin/xenblkfront \
		"/usr/lib/xen-$xen/bin/xl" /usr/bin/xenstore-{read,ls,exists,list}
	mv "$tree"/lab/bin/* "$tree/usr/lib/xen-$xen/bin/xl" "$tree"/usr/bin/xenstore-* "$tree/bin/"
	install -m 755 /lab/packaging/block-xenblkd "$tree/etc/xen/scripts/"
	initrd_with "$tree" "/tmp/driver-$name.initrd"
	GUEST_INITRD=/tmp/driver-$name.initrd GUEST_MEMORY=400 GUEST_CONFIG='driver_domain = 1' guest_create "$name" pv
	guest_run "$name" 'load xenfs xen-privcmd xen-evtchn xen-gntdev xen-gntalloc; mount -t xenfs xenfs /proc/xen; mount -t tmpfs run /run; mkdir -p /run/xen /run/lock; ifconfig lo up'
}
