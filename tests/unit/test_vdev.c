/* SPDX-License-Identifier: MIT */
/* Virtual device names and numbers, both ways. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "blkif/vdev.h"

#define EXT (1u << 28)

/* name → number, and the name which that number has. */
static void table(void **state)
{
	static const struct {
		const char *name;
		uint32_t devid;
		const char *canonical;
	} cases[] = {
	    {"xvda", 51712, "xvda"},
	    {"xvda1", 51713, "xvda1"},
	    {"xvda15", 51727, "xvda15"},
	    {"xvda16", EXT | 16, "xvda16"},
	    {"xvda255", EXT | 255, "xvda255"},
	    {"xvdb", 51728, "xvdb"},
	    {"xvdp", 202 << 8 | 15 << 4, "xvdp"},
	    {"xvdp15", 202 << 8 | 15 << 4 | 15, "xvdp15"},
	    {"xvdp16", EXT | 15 << 8 | 16, "xvdp16"},
	    {"xvdq", EXT | 16 << 8, "xvdq"},
	    {"xvdq1", EXT | 16 << 8 | 1, "xvdq1"},
	    {"xvdz", EXT | 25 << 8, "xvdz"},
	    {"xvdaa", EXT | 26 << 8, "xvdaa"},
	    {"xvdaz", EXT | 51 << 8, "xvdaz"},
	    {"xvdba", EXT | 52 << 8, "xvdba"},
	    {"xvdzz", EXT | 701 << 8, "xvdzz"},
	    {"xvdaaa", EXT | 702 << 8, "xvdaaa"},
	    {"xvdbgqcv", EXT | 0xfffff << 8, "xvdbgqcv"}, /* the last disk */
	    {"xvdbgqcw", 0, NULL},
	    {"xvdtq37", EXT | 536 << 8 | 37, "xvdtq37"},
	    {"d536p37", EXT | 536 << 8 | 37, "xvdtq37"},
	    {"d0", 51712, "xvda"},
	    {"d0p0", 51712, "xvda"},
	    {"d0p1", 51713, "xvda1"},
	    {"d1p3", 51731, "xvdb3"},
	    {"d16", EXT | 16 << 8, "xvdq"},
	    {"d1048575p255", EXT | 0xfffffff, "xvdbgqcv255"},
	    {"hda", 768, "hda"},
	    {"hda1", 769, "hda1"},
	    {"hda63", 831, "hda63"},
	    {"hdb", 832, "hdb"},
	    {"hdc", 5632, "hdc"},
	    {"hdd63", 5759, "hdd63"},
	    {"sda", 2048, "sda"},
	    {"sdb3", 2067, "sdb3"},
	    {"sdp", 2288, "sdp"},
	    {"sdp15", 2303, "sdp15"},
	    {"51712", 51712, "xvda"},
	    {"0xca00", 51712, "xvda"},
	    {"0xCA0f", 51727, "xvda15"},
	    {"0", 0, "0x0"},
	    {"0x0", 0, "0x0"},
	    {"0x00000001", 1, "0x1"},
	    {"4294967295", 0xffffffff, "0xffffffff"},
	    {"0xffffffff", 0xffffffff, "0xffffffff"},
	    {"268435456", EXT, "0x10000000"}, /* that disk's name is xvda, number 51712 */
	    {"767", 767, "0x2ff"},
	    {"896", 896, "0x380"},
	    {"5760", 5760, "0x1680"},
	    {"2304", 2304, "0x900"},
	    {"51967", 51967, "xvdp15"},
	    {"51968", 51968, "0xcb00"},
	    {"536870912", 2 * EXT, "0x20000000"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char name[VDEV_NAME_MAX];
		uint32_t v = 7;
		int rc = vdev_parse(cases[i].name, &v);

		if (!cases[i].canonical) {
			assert_int_equal(rc, -EINVAL);
			continue;
		}
		if (rc || v != cases[i].devid)
			fail_msg("%s: rc %d, 0x%x", cases[i].name, rc, v);
		vdev_name(v, name);
		assert_string_equal(name, cases[i].canonical);
	}
}

static void garbage(void **state)
{
	static const char *const bad[] = {"",
	                                  "x",
	                                  "xv",
	                                  "xvd",
	                                  "xvd1",
	                                  "xvda0",
	                                  "xvda01",
	                                  "xvda256",
	                                  "xvda1 ",
	                                  " xvda",
	                                  "xvdA",
	                                  "XVDA",
	                                  "xvda-1",
	                                  "xvda+1",
	                                  "xvda1p1",
	                                  "xvda/..",
	                                  "../xvda",
	                                  "xvda.",
	                                  "xvda\n",
	                                  "hd",
	                                  "hde",
	                                  "hda64",
	                                  "hda0",
	                                  "sdq",
	                                  "sda16",
	                                  "sd",
	                                  "sdaa",
	                                  "d",
	                                  "dp1",
	                                  "d0p",
	                                  "d0p256",
	                                  "d1048576",
	                                  "d00",
	                                  "d0p01",
	                                  "d-1",
	                                  "d0p1x",
	                                  "d0x1",
	                                  "da",
	                                  "0x",
	                                  "0xg",
	                                  "0x100000000",
	                                  "0x000000001",
	                                  "0X10",
	                                  "010",
	                                  "4294967296",
	                                  "-1",
	                                  "+1",
	                                  "1 ",
	                                  "1.0",
	                                  "99999999999",
	                                  "xvdzzzzzzzz",
	                                  "vda",
	                                  "nvme0n1",
	                                  "xvdaaaaaaaaaaaaaaaaaaaaa",
	                                  "xvda99999999999999999999",
	                                  "18446744073709551616"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint32_t v = 7;
		if (vdev_parse(bad[i], &v) != -EINVAL)
			fail_msg("\"%s\" was taken for 0x%x", bad[i], v);
		assert_int_equal(v, 7);
	}
}

static void check_number(uint32_t devid)
{
	char name[VDEV_NAME_MAX + 1];
	uint32_t back = ~devid;

	memset(name, '#', sizeof name);
	vdev_name(devid, name);
	size_t len = strnlen(name, VDEV_NAME_MAX);
	if (len < 1 || len >= VDEV_NAME_MAX || name[VDEV_NAME_MAX] != '#')
		fail_msg("0x%x: name of %zu bytes", devid, len);
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") != len)
		fail_msg("0x%x: unsafe name", devid);
	if (vdev_parse(name, &back) || back != devid)
		fail_msg("0x%x: %s gives back 0x%x", devid, name, back);
}

/* The name is a function of the number and parses back to it, so no two numbers share one. */
static void every_number(void **state)
{
	for (uint32_t v = 0; v < 1 << 18; v++)
		check_number(v);
	for (uint32_t v = EXT - 1000; v < EXT + (1 << 18); v++)
		check_number(v);
	for (uint32_t v = 2 * EXT - 10000; v < 2 * EXT + 1000; v++)
		check_number(v);
	for (uint32_t v = UINT32_MAX; v > UINT32_MAX - 1000; v--)
		check_number(v);
	for (uint64_t v = 0; v <= UINT32_MAX; v += 4099) /* a prime: all low bits appear */
		check_number((uint32_t)v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table),
	    cmocka_unit_test(garbage),
	    cmocka_unit_test(every_number),
	};

	return cmocka_run_group_tests_name("vdev", tests, NULL, NULL);
}
