/* SPDX-License-Identifier: MIT */
/* The xenstore nodes of a disk: exactly what libxl writes, and TARGET made absolute. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctl/toolstack.h"
#include "../lib/scratch.h"

/* "key=value" of all nodes, sorted by key, one per line. */
static const char *listing(struct toolstack_node *node, unsigned n)
{
	static char text[8192];
	size_t len = 0;

	assert_true(n <= TOOLSTACK_NODES_MAX);
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = i + 1; j < n; j++)
			if (strcmp(node[j].key, node[i].key) < 0) {
				struct toolstack_node swap = node[i];
				node[i] = node[j];
				node[j] = swap;
			}
	text[0] = '\0';
	for (unsigned i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "%s=%s\n", node[i].key,
		                        node[i].value);
	return text;
}

static const char *back(const struct toolstack_disk *disk)
{
	static struct toolstack_node node[TOOLSTACK_NODES_MAX];

	return listing(node, toolstack_back_nodes(disk, node));
}

/* As seen with Xen 4.17 and 4.20 for vdev=xvda,format=raw,access=rw,script=block-xenblkd,target=…
 */
static void phy_disk(void **state)
{
	struct toolstack_disk disk = {.domid = 1, .devid = 51712, .target = "/tmp/x.img"};
	struct toolstack_node node[TOOLSTACK_NODES_MAX];
	struct toolstack_paths p;

	toolstack_paths(NULL, 1, 51712, &p);
	assert_string_equal(p.back, "/local/domain/0/backend/vbd/1/51712");
	assert_string_equal(p.front, "/local/domain/1/device/vbd/51712");
	assert_string_equal(p.copy, "/libxl/1/device/vbd/51712");
	assert_string_equal(back(&disk), "bootable=1\n"
	                                 "dev=xvda\n"
	                                 "device-type=disk\n"
	                                 "discard-enable=1\n"
	                                 "frontend=/local/domain/1/device/vbd/51712\n"
	                                 "frontend-id=1\n"
	                                 "mode=w\n"
	                                 "online=1\n"
	                                 "params=/tmp/x.img\n"
	                                 "removable=0\n"
	                                 "script=/etc/xen/scripts/block-xenblkd\n"
	                                 "specification=xen\n"
	                                 "state=1\n"
	                                 "type=phy\n");
	assert_string_equal(listing(node, toolstack_front_nodes(&disk, node)),
	                    "backend=/local/domain/0/backend/vbd/1/51712\n"
	                    "backend-id=0\n"
	                    "device-type=disk\n"
	                    "protocol=x86_64-abi\n"
	                    "state=1\n"
	                    "trusted=1\n"
	                    "virtual-device=51712\n");
	assert_string_equal(listing(node, toolstack_copy_nodes(&disk, node)),
	                    "backend=/local/domain/0/backend/vbd/1/51712\n");
}

static void variants(void **state)
{
	struct toolstack_disk disk = {.domid = 7, .devid = 768, .target = "/x", .mode = "r"};
	const char *text = back(&disk);

	assert_non_null(strstr(text, "mode=r\n"));
	assert_non_null(strstr(text, "discard-enable=0\n"));
	assert_non_null(strstr(text, "dev=hda\n"));
	disk.mode = "w!";
	disk.no_discard = true;
	disk.removable = true;
	text = back(&disk);
	assert_non_null(strstr(text, "mode=w!\n"));
	assert_non_null(strstr(text, "discard-enable=0\n"));
	assert_non_null(strstr(text, "removable=1\n"));
	disk = (struct toolstack_disk){.domid = 7, .devid = 768, .target = "/x", .cdrom = true};
	text = back(&disk);
	assert_non_null(strstr(text, "mode=r\n"));
	assert_non_null(strstr(text, "device-type=cdrom\n"));
	assert_non_null(strstr(text, "removable=1\n"));
	disk = (struct toolstack_disk){
	    .domid = 7, .devid = 768, .target = "null:1G", .no_script = true};
	text = back(&disk);
	assert_null(strstr(text, "script="));
	assert_non_null(strstr(text, "params=null:1G\n"));
}

static void other_kinds(void **state)
{
	struct toolstack_disk disk = {.domid = 1, .devid = 51712, .target = "/x", .kind = "vbd3"};
	struct toolstack_node node[TOOLSTACK_NODES_MAX];
	const char *text = back(&disk);

	assert_non_null(strstr(text, "type=vbd3\n"));
	assert_non_null(strstr(text, "params=aio:/x\n"));
	assert_non_null(strstr(text, "frontend=/local/domain/1/device/vbd/51712\n"));
	text = listing(node, toolstack_front_nodes(&disk, node));
	assert_non_null(strstr(text, "backend=/local/domain/0/backend/vbd3/1/51712\n"));
	disk.kind = "qdisk";
	disk.target = "qcow2:/x";
	assert_non_null(strstr(back(&disk), "params=qcow2:/x\n"));
}

static void targets(void **state)
{
	char here[PATH_MAX], real[PATH_MAX], out[STORAGE_TARGET_MAX], want[PATH_MAX + 64];
	char template[100];
	struct error err;

	assert_non_null(getcwd(here, sizeof here));
	assert_non_null(mkdtemp(scratch_path(template, sizeof template, "targets.XXXXXX")));
	assert_int_equal(chdir(template), 0);
	assert_non_null(realpath(".", real));
	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_equal(symlink("d", "link"), 0);
	static const struct {
		const char *in, *out; /* '.' at the start of out's path: the directory */
	} cases[] = {
	    {"/a/b", "/a/b"},
	    {"null:1G", "null:1G"},
	    {"nbd+unix:///x?socket=s", "nbd+unix:///x?socket=s"},
	    {"rbd:pool/image", "rbd:pool/image"},
	    {"x.img", "./x.img"},
	    {"d/x.img", "./d/x.img"},
	    {"link/x.img", "./d/x.img"},
	    {"link/../x.img", "./x.img"},
	    {"none/x.img", "./none/x.img"}, /* left for the opening to complain about */
	    {"odd:name", "./odd:name"},
	    {"raw:x.img", "raw:./x.img"},
	    {"qcow2:d/x", "qcow2:./d/x"},
	    {"aio:/x", "aio:/x"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *dot = strstr(cases[i].out, "./");
		if (dot && (dot == cases[i].out || dot[-1] == ':'))
			snprintf(want, sizeof want, "%.*s%s%s", (int)(dot - cases[i].out),
			         cases[i].out, real, dot + 1);
		else
			snprintf(want, sizeof want, "%s", cases[i].out);
		assert_int_equal(toolstack_target(cases[i].in, out, &err), 0);
		assert_string_equal(out, want);
	}
	char huge[STORAGE_TARGET_MAX + 2];
	memset(huge, 'a', sizeof huge - 1);
	huge[sizeof huge - 1] = '\0';
	huge[0] = '/';
	assert_int_equal(toolstack_target(huge, out, &err), -ENAMETOOLONG);
	assert_int_equal(unlink("link") || rmdir("d") || chdir(here) || rmdir(template), 0);
}

static void ids(void **state)
{
	char id[TOOLSTACK_ID_MAX];

	toolstack_id(32751, 51712, id);
	assert_string_equal(id, "32751:xvda");
	toolstack_id(1, UINT32_MAX, id);
	assert_string_equal(id, "1:0xffffffff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(phy_disk), cmocka_unit_test(variants),
	                                   cmocka_unit_test(other_kinds), cmocka_unit_test(targets),
	                                   cmocka_unit_test(ids)};

	return cmocka_run_group_tests_name("ctl_nodes", tests, NULL, NULL);
}
