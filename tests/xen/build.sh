# SPDX-License-Identifier: MIT
# Part of `lab`: makes one lab (Xen, dom0 kernel, root file system, guest kit) for a Debian suite.
# A change of this file or of stage1 rebuilds every lab; all else is put in at each run.
# shellcheck shell=bash

host_packages=(debian-archive-keyring mmdebstrap qemu-system-x86 e2fsprogs cpio gzip xz-utils zstd python3)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
host_programs=($keyring mmdebstrap qemu-system-x86_64 mke2fs cpio gzip xz zstd python3)

# What dom0 needs at run time. The kernel and the hypervisor are unpacked only: installing them would
# make an initrd that nobody boots.
dom0_packages=(xenstore-utils kmod udev busybox-static fio e2fsprogs procps iproute2 python3-minimal
	util-linux strace liburing2 libjansson4 libcap-ng0 libseccomp2 libxenstore4 libxengnttab1
	libxenevtchn1 libxentoolcore1 libxentoollog1)

xen_version() {
	case $1 in
	bookworm) echo 4.17 ;;
	trixie) echo 4.20 ;;
	*) die "no lab for suite $1 (there are bookworm and trixie)" ;;
	esac
}

# More for one release: QEMU as a back end of its own, to compare with.
suite_packages() {
	case $1 in
	trixie) echo ,qemu-system-xen ;;
	esac
}

# The release of a 32-bit guest's kernel.
suite_architectures() {
	case $1 in
	bookworm) echo ,i386 ;;
	esac
}

# Names what the host lacks, and installs it where apt-get is.
host_setup() {
	local missing=() i as_root=()
	for i in "${!host_programs[@]}"; do
		[ -e "/${host_programs[$i]#/}" ] || PATH=$PATH:/sbin:/usr/sbin command -v "${host_programs[$i]}" > /dev/null ||
			missing+=("${host_packages[$i]}")
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	if ! command -v apt-get > /dev/null; then
		die "missing on this machine: ${missing[*]} (these are Debian's names; please install yours)"
	fi
	echo "xen lab: these Debian packages are missing and will be installed: ${missing[*]}"
	[ "$(id -u)" -eq 0 ] || as_root=(sudo)
	# not "install": that name would hide coreutils' from all that follows
	apt_install() {
		"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
			--no-install-recommends "${missing[@]}" > "$1" 2>&1
	}
	local log
	log=$(mktemp)
	if ! apt_install "$log"; then
		"${as_root[@]}" apt-get update -q > "$log" 2>&1 && apt_install "$log" || {
			tail -n 5 "$log" >&2
			rm -f "$log"
			die "apt-get install ${missing[*]} failed"
		}
	fi
	rm -f "$log"
}

recipe_hash() {
	cat "$here/build.sh" "$here/stage1" "$here/unpack-kernel" | sha256sum | cut -c1-16
}

# Deletes what takes room and no test uses.
slim_root() {
	local root=$1 m
	rm -rf "$root"/usr/share/{doc,man,locale,info} "$root"/var/cache/apt/archives/*.deb \
		"$root"/var/lib/apt/lists/* "$root"/unpack "$root"/boot/System.map*
	for m in drivers/{gpu,media,infiniband,staging,iio,isdn,input,hwmon,usb,mmc,mtd,thunderbolt} \
		drivers/net/{wireless,ethernet,wwan,can,usb,phy} drivers/scsi/{qla2xxx,lpfc,mpt3sas,aic7xxx} \
		net/bluetooth net/mac80211 net/wireless sound; do
		rm -rf "$root"/lib/modules/*/kernel/"$m" "$root"/usr/lib/modules/*/kernel/"$m"
	done
}

# One xz decoder less in the early user space: modules are stored plain.
plain_modules() {
	find "$1" -name '*.ko.xz' -print0 | xargs -0 -r -n 64 xz -d
}

# A module and all that it needs, in the order of loading; nothing if it is built in.
module_order() {
	local modules=$1 name=$2
	awk -F: -v want="$name.ko" '
		{ n = split($1, p, "/"); f = p[n]; gsub("_", "-", f); w = want; gsub("_", "-", w)
		  if (f == w) { k = split($2, d, " "); for (i = k; i > 0; i--) print d[i]; print $1 } }' \
		"$modules/modules.dep"
}

# make_initramfs ROOT OUT MODULE…: busybox and modules, with what each needs in MODULE.order; a run appends the init.
make_initramfs() {
	local root=$1 out=$2 tree modules m file
	shift 2
	# not compressed: the emulated processor would be longer at it than at reading
	tree=$(mktemp -d "$lab/initramfs.XXXXXX")
	modules=$(echo "$root"/lib/modules/*)
	mkdir -p "$tree"/{bin,sbin,dev,proc,sys,tmp,mnt,modules,etc,run}
	cp "$root/bin/busybox" "$tree/bin/busybox"
	ln -s busybox "$tree/bin/sh"
	for m in "$@"; do
		module_order "$modules" "$m" > "$tree/list"
		while read -r file; do
			cp "$modules/$file" "$tree/modules/"
			basename "$file"
		done < "$tree/list" > "$tree/modules/$m.order"
	done
	rm "$tree/list"
	(cd "$tree" && find . -print0 | cpio --null --quiet -o -H newc -R 0:0) > "$out"
	rm -rf "$tree"
}

# Runs a program inside the new root.
in_root() {
	local root=$1
	shift
	DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" "$@" < /dev/null
}

# Kernel and busybox of a 32-bit guest into ROOT/unpack32, where the release still has them.
unpack_guest32() {
	local root=$1 kernel deb modules
	[ -n "$(suite_architectures "$suite")" ] || return 0
	step "32-bit guest"
	kernel=$(in_root "$root" apt-cache depends linux-image-686-pae:i386 |
		sed -nE 's/.*Depends: (linux-image-[^ ]+)$/\1/p')
	mkdir "$root/unpack32"
	in_root "$root" sh -c "cd /unpack32 && apt-get download -o APT::Sandbox::User=root \
		$kernel busybox-static:i386"
	for deb in "$root"/unpack32/*.deb; do
		in_root "$root" dpkg-deb -x "/unpack32/${deb##*/}" /unpack32
		basename "$deb" >> "$lab/versions.new"
		rm "$deb"
	done
	plain_modules "$root/unpack32/lib/modules"
	modules=$(ls "$root/unpack32/lib/modules")
	in_root "$root" depmod -b /unpack32 "$modules"
}

make_root() {
	local root=$1 include mirror=${XENBLKD_MIRROR:-http://deb.debian.org/debian} deb kernel
	include=$(IFS=,; echo "${dom0_packages[*]},xen-utils-$xen$(suite_packages "$suite")")
	# with its package lists, for the kernels
	mmdebstrap --variant=minbase --keyring=$keyring --skip=cleanup/apt/lists --include="$include" \
		--architectures="amd64$(suite_architectures "$suite")" "$suite" "$root" "$mirror"
	step "kernel and hypervisor"
	mkdir "$root/unpack"
	kernel=$(in_root "$root" apt-cache depends linux-image-amd64 |
		sed -nE 's/.*Depends: (linux-image-[^ ]+)$/\1/p')
	in_root "$root" sh -c "cd /unpack && apt-get download -o APT::Sandbox::User=root \
		$kernel xen-hypervisor-$xen-amd64"
	for deb in "$root"/unpack/*.deb; do
		in_root "$root" dpkg-deb -x "/unpack/${deb##*/}" /unpack/tree
		basename "$deb" >> "$root/unpack/names"
	done
	# the tree may hold /lib or /usr/lib, and the root has the one as a link to the other
	mkdir -p "$root/usr/lib/modules" "$root/boot"
	for deb in "$root"/unpack/tree/lib/modules "$root"/unpack/tree/usr/lib/modules; do
		[ ! -d "$deb" ] || mv "$deb"/* "$root/usr/lib/modules/"
	done
	mv "$root"/unpack/tree/boot/* "$root/boot/"
	in_root "$root" dpkg-query -W -f '${Package} ${Version}\n' > "$lab/versions.new"
	cat "$root/unpack/names" >> "$lab/versions.new"
	unpack_guest32 "$root"
	slim_root "$root"
	plain_modules "$root/usr/lib/modules"
	in_root "$root" depmod "$(ls "$root/usr/lib/modules")"
	install -m 755 "$here/stage1" "$root/sbin/lab-stage1"
	mkdir -p "$root"/{lab,proc,sys,dev,run}
	echo lab > "$root/etc/hostname"
	echo '127.0.0.1 localhost lab' > "$root/etc/hosts"
}

# lab_build SUITE: everything into $lab, unless it is there already.
lab_build() {
	suite=$1
	xen=$(xen_version "$suite")
	lab=$base/$suite
	host_setup
	mkdir -p "$lab"
	# Two at once would mix their files; the second one waits, and then finds the lab made.
	exec {lock}> "$lab/lock"
	flock -n "$lock" || {
		step "another run makes the lab: waiting"
		flock "$lock"
	}
	if [ "$(cat "$lab/stamp" 2> /dev/null)" = "$(recipe_hash)" ]; then
		exec {lock}>&-
		return 0
	fi
	[ "$(id -u)" -eq 0 ] || die "building the lab needs root (mmdebstrap)"
	started=$SECONDS
	rm -rf "$lab"/stamp "$lab"/root "$lab"/*.new "$lab"/initramfs.*
	step "Debian $suite"
	# In the background, for the shell ignores failures inside a function that is the left side of "||".
	make_root "$lab/root" > "$lab/build.log" 2>&1 &
	wait $! || {
		tail -n 20 "$lab/build.log" >&2
		die "making the root failed (log: $lab/build.log)"
	}
	step "initial file systems of dom0 and of guests"
	gzip -dc "$(ls "$lab/root/boot/xen-$xen"*-amd64.gz | head -n 1)" > "$lab/xen"
	"$here/unpack-kernel" "$lab"/root/boot/vmlinuz-* "$lab/vmlinuz"
	make_initramfs "$lab/root" "$lab/dom0.initrd" nvme ext4 crc32c_generic
	make_initramfs "$lab/root" "$lab/guest.initrd" xen_blkfront ext4 crc32c_generic \
		xenfs xen-privcmd xen-evtchn xen-gntdev xen-gntalloc
	if [ -d "$lab/root/unpack32" ]; then
		"$here/unpack-kernel" "$lab"/root/unpack32/boot/vmlinuz-* "$lab/vmlinuz32"
		make_initramfs "$lab/root/unpack32" "$lab/guest32.initrd" xen_blkfront
	fi
	rm -rf "$lab"/root/boot/* "$lab/root/unpack32"
	step "root disk"
	local size
	size=$(($(du -sm "$lab/root" | cut -f1) + 1200))
	rm -f "$lab/root.img"
	mke2fs -q -t ext4 -L labroot -O ^has_journal -E root_owner=0:0 -d "$lab/root" "$lab/root.img" "${size}M" > /dev/null
	rm -rf "$lab/root"
	mv "$lab/versions.new" "$lab/versions"
	recipe_hash > "$lab/stamp"
	step "done: $(grep -c . "$lab/versions") packages, $(grep -m 1 linux-image "$lab/versions"), $(grep xen-hypervisor "$lab/versions")"
	exec {lock}>&-
}
