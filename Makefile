# SPDX-License-Identifier: MIT
# Thin wrapper around meson and ninja. `make help` lists what there is.

# SANITIZE=1: a second build tree under AddressSanitizer and UBSan.
# In CI a warning is an error; not under sanitizers, whose checks make gcc warn of what cannot happen.
WERROR := $(if $(CI),-Dwerror=true)

# The Debian release that `make check-xen` boots as dom0.
SUITE ?= bookworm
CASES ?= tests/xen/cases/*.sh
CASES_LONG ?= tests/xen/long/*.sh

ifeq ($(SANITIZE),1)
BUILD ?= build-asan
MESON_FLAGS ?= -Db_sanitize=address,undefined -Db_lundef=false
else
BUILD ?= build
MESON_FLAGS ?= $(WERROR)
endif

export BUILD

all: build-it

help:
	@echo 'make                 builds programs and tests into build/'
	@echo 'make programs        builds the programs only'
	@echo 'make demo            shows the main job: a disk image served to a front end, end to end'
	@echo 'make check           builds and runs all tests (TESTS=PATTERN: only some)'
	@echo 'make check SANITIZE=1   the same under AddressSanitizer and UBSan'
	@echo 'make mutants         breaks the code at some 90 places, one after the other: do the tests notice?'
	@echo '                     (MUTANTS=PATTERN, SAMPLE=N with SEED=N: only some; all take some ten minutes)'
	@echo 'make check-surroundings   as root: some tests as an ordinary user, without CAP_SYS_ADMIN, in a chroot, without io_uring'
	@echo 'make model            searches the model of the crash protocol (spin; some minutes)'
	@echo 'make torture          kills workers and xenblkd under load (KILLS=1000, SEED=N to repeat)'
	@echo 'make soak            50 disks and one supervisor, to which everything happens at random (MINUTES=30, SEED=N to repeat)'
	@echo 'make check-xen       boots a real Xen under QEMU and runs tests/xen in it (SUITE=trixie, CASES=FILES)'
	@echo 'make check-xen-long  the same there with what takes long: kills, and the conformance suite on every back end there'
	@echo 'make demo-xen        the same there: a guest boots from a disk that xenblkd serves'
	@echo 'make clean           removes the build directories'
	@echo 'CC=clang make ...    with another compiler (after make clean)'
	@echo 'Missing packages are installed first on Debian, and named first.'

setup:
	@scripts/setup

# reconfigures by itself when a meson.build changes
$(BUILD)/build.ninja: | setup
	meson setup $(MESON_FLAGS) $(BUILD)

build-it: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

# Without the tests, which are most of the build.
programs: $(BUILD)/build.ninja
	@ninja -C $(BUILD) xenblkd xenblkd-worker xenblkd-holder xenblkd-xen xenblkctl xenblkfront

demo: programs
	@scripts/demo $(BUILD)

check: build-it
	@tests/run $(BUILD) $(TESTS)

check-surroundings: build-it
	@tests/surroundings $(BUILD) $(SURROUNDING) $(TESTS)

model: setup
	@models/run

mutants: setup
	@mkdir -p $(BUILD) && SAMPLE=$(SAMPLE) SEED=$(SEED) tests/mutants/run $(BUILD) $(MUTANTS)

torture: build-it
	@KILLS=$(or $(KILLS),1000) SEED=$(SEED) BAR=1 $(BUILD)/tests/integration/test_torture

soak: build-it
	@SOAK_SECONDS=$$(($(or $(MINUTES),30) * 60)) SEED=$(SEED) BAR=1 $(BUILD)/tests/integration/test_soak

# Both take their time at first, and one waits for the disk and the network while the other computes.
build-and-lab: $(BUILD)/build.ninja
	@$(MAKE) --no-print-directory -j2 ABREAST=1 xen-programs xen-lab

xen-programs:
	@ninja -C $(BUILD) $$(tests/xen/lab programs)

xen-lab:
	@tests/xen/lab build $(SUITE)

check-xen: build-and-lab
	@tests/xen/lab run $(SUITE) $(CASES)

# The judge on every back end that the suite has, and the kills.
check-xen-long: build-and-lab
	@tests/xen/lab run $(SUITE) $(CASES_LONG)

demo-xen: build-and-lab
	@tests/xen/lab demo $(SUITE)

clean:
	rm -rf build build-asan

.PHONY: all help setup build-it programs build-and-lab xen-programs xen-lab demo check check-surroundings model mutants torture soak check-xen check-xen-long demo-xen clean
ifndef ABREAST
.NOTPARALLEL:
endif
