# SPDX-License-Identifier: MIT
# Part of `lab`: boots the machine with a second disk for this run, follows its console, counts results.
# The console's language (each line begins with ##lab): see dom0-init.
# shellcheck shell=bash

programs=(xenblkd xenblkd-worker xenblkd-holder xenblkctl xenblkfront bench-grants)

# with_init INITRD OUT: one of the lab's initial file systems, with its init as a second archive.
with_init() {
	mkdir "$work/init"
	install -m 755 "$here/initramfs-init" "$work/init/init"
	install -m 644 "$here/guest-obey" "$work/init/guest-obey"
	{
		cat "$1"
		cd "$work/init"
		printf '%s\n' init guest-obey | cpio --quiet -o -H newc -R 0:0
	} > "$2"
	rm -rf "$work/init"
}

# run_tree DIR SCRIPT…: what the second disk holds.
run_tree() {
	local tree=$1 program script n=0
	shift
	mkdir -p "$tree"/{bin,packaging,tests,guest,logs}
	cp "$here"/{dom0-init,lib.sh} "$tree/"
	cp "$here/guest-obey" "$tree/guest/"
	cp "$lab"/vmlinuz* "$tree/guest/"
	(with_init "$lab/guest.initrd" "$tree/guest/initrd")
	[ ! -e "$lab/guest32.initrd" ] || (with_init "$lab/guest32.initrd" "$tree/guest/initrd32")
	# what disks are made of: an emulated processor takes a second for a MiB of its own
	head -c 32M /dev/urandom > "$tree/random"
	for program in "${programs[@]}"; do
		[ ! -x "$build/$program" ] || cp "$build/$program" "$tree/bin/"
	done
	[ ! -d "$top/packaging" ] || cp -r "$top/packaging/." "$tree/packaging/"
	for script in "$@"; do
		cp "$script" "$tree/tests/"
		basename "$script" >> "$tree/order"
	done
	# data of theirs, and what several share
	for script in "$here"/{cases,long}/*.{txt,inc}; do
		[ ! -e "$script" ] || cp "$script" "$tree/tests/"
	done
	printf 'suite=%s xen=%s\n' "$suite" "$xen" > "$tree/run.conf"
	chmod 755 "$tree/dom0-init"
}

# Sets $work (deleted at the end) and $disk. The disk has no journal, so that debugfs reads it even after
# a machine that died.
run_disk() {
	work=$(mktemp -d "${TMPDIR:-/tmp}/xenlab.XXXXXX")
	trap 'stop_machine; rm -rf "$work"' EXIT
	trap 'exit 1' INT TERM
	run_tree "$work/tree" "$@"
	disk=$work/disk.img
	mke2fs -q -t ext4 -O ^has_journal -L labrun -E root_owner=0:0 -d "$work/tree" "$disk" 1G > /dev/null
	rm -rf "$work/tree"
	(with_init "$lab/dom0.initrd" "$work/dom0.initrd")
}

# The processor is one that Xen and a PV dom0 boot on under emulation; virtio does not work in a PV dom0.
qemu_line() {
	qemu=(qemu-system-x86_64 -accel tcg,thread=multi -M q35 -cpu qemu64,+svm,+npt -smp 2 -m 4G
		-nographic -no-reboot -nic none -kernel "$lab/xen"
		-append "console=com1 com1=115200 dom0_mem=2048M ucode=no spec-ctrl=no bootscrub=0 ${LAB_XEN_ARGS:-}"
		-initrd "$lab/vmlinuz console=hvc0 root=LABEL=labroot rw init=/sbin/lab-stage1 loglevel=5 panic=1 noreplace-smp cryptomgr.notests $*,$work/dom0.initrd"
		-drive "file=$lab/root.img,format=raw,if=none,id=root,snapshot=on,cache=unsafe"
		-device nvme,serial=root,drive=root
		-drive "file=$disk,format=raw,if=none,id=run,cache=unsafe"
		-device nvme,serial=run,drive=run)
}

machine=
stop_machine() {
	[ -n "$machine" ] || return 0
	kill "$machine" 2> /dev/null || true
	wait "$machine" 2> /dev/null || true
	machine=
}

# One machine at a time: two would starve each other of processor time and fail by time-outs.
only_machine() {
	exec 9> "$base/machine.lock"
	if ! flock -n 9; then
		step "another run has the machine: waiting"
		flock 9
	fi
}

verdict() {
	local name=$1 seconds=$2
	number=$((number + 1))
	pending=("${pending[@]:1}")
	running=
	case $3 in
	ok)
		passed=$((passed + 1))
		printf 'ok %d - %s (%s s)\n' "$number" "$name" "$seconds"
		;;
	skip)
		skipped=$((skipped + 1))
		printf 'ok %d - %s # SKIP %s\n' "$number" "$name" "$4"
		;;
	*)
		failed=$((failed + 1))
		printf 'not ok %d - %s (%s s): %s\n' "$number" "$name" "$seconds" "$4"
		;;
	esac
}

# follow FD: reads the console until the machine is done (0), silent for too long or gone (1).
follow() {
	local line rest word name seconds left status panic='' silence=240
	while :; do
		left=$((limit - (SECONDS - booted)))
		[ "$left" -gt 0 ] || { death="not done after $limit s"; return 1; }
		[ "$left" -lt "$silence" ] || left=$silence
		status=0
		IFS= read -r -t "$left" line <&"$1" || status=$?
		if [ "$status" -gt 128 ]; then
			death=${panic:-console silent for $left s}
			return 1
		elif [ "$status" -ne 0 ]; then
			death=${panic:-it ended by itself}
			return 1
		fi
		line=${line//$'\r'/}
		printf '%s\n' "$line" >> "$logs/console.log"
		# the reset after it does not always end QEMU: read what follows at once, no more
		if [[ $line == *"Kernel panic"* || $line == *"Dom0 crashed"* || $line == *"Panic on CPU"* ]]; then
			panic=$line silence=10
		fi
		[[ $line == *"##lab "* ]] || continue
		rest=${line#*"##lab "}
		read -r word name seconds rest <<< "$rest" || true
		case $word in
		up) step "dom0 is up: $name $seconds $rest" ;;
		# the script's own limit, and a minute for the sweep after it
		start) running=$name silence=$((${seconds%%.*} + 60)) ;;
		ok | skip | not) verdict "$name" "$seconds" "$word" "$rest" ;;
		say) echo "    | ${line#*"##lab say"}" ;;
		fatal) death="$name $seconds $rest"; return 1 ;;
		end) return 0 ;;
		esac
	done
}

collect_scripts() {
	local arg script
	scripts=()
	for arg in "$@"; do
		if [ -d "$arg" ]; then
			for script in "$arg"/*.sh; do [ ! -e "$script" ] || scripts+=("$script"); done
		elif [ -f "$arg" ]; then
			scripts+=("$arg")
		else
			die "$arg: no such test"
		fi
	done
	[ ${#scripts[@]} -gt 0 ] || die "no tests in $*"
}

# limits SCRIPT…: what all may take together, with a minute for what comes after each, and five for the boot.
limits() {
	awk '/^# limit: [0-9]+/ { sum += $3 - 600 } END { print sum + 660 * (ARGC - 1) + 300 }' "$@"
}

lab_run() {
	local name console
	collect_scripts "$@"
	limit=${LAB_LIMIT:-$(limits "${scripts[@]}")}
	logs=$build/xen-logs/$suite
	only_machine
	rm -rf "$logs"
	mkdir -p "$logs"
	run_disk "${scripts[@]}"
	qemu_line "${LAB_SHOW:+lab=show}"
	pending=("${scripts[@]}")
	passed=0 failed=0 skipped=0 number=0 running='' death=''
	booted=$SECONDS
	step "booting Xen $xen ($suite), ${#scripts[@]} tests"
	exec {console}< <(exec "${qemu[@]}" < /dev/null 2>&1)
	machine=$!
	if ! follow "$console"; then
		echo "the machine died: $death"
		tail -n 25 "$logs/console.log" | sed 's/^/    # /'
		for name in "${pending[@]}"; do
			name=$(basename "$name" .sh)
			verdict "$name" - not "$([ "$name" = "$running" ] && echo 'the machine died' || echo 'not run')"
		done
		[ "$failed" -gt 0 ] || failed=1
	fi
	stop_machine
	debugfs -R "rdump /logs $logs" "$disk" > /dev/null 2>&1 || true
	mv "$logs"/logs/* "$logs/" 2> /dev/null || true
	rmdir "$logs/logs" 2> /dev/null || true
	step "logs: $logs"
	echo "$passed passed, $failed failed$([ "$skipped" -eq 0 ] || echo ", $skipped skipped")"
	[ "$failed" -eq 0 ]
}

lab_shell() {
	only_machine
	run_disk
	qemu_line lab=shell
	"${qemu[@]}"
}
