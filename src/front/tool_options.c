/* SPDX-License-Identifier: MIT */
/* The command line of xenblkfront. */
#include "front/tool.h"

#include <stddef.h>

#include "base/args.h"
#include "blkif/vdev.h"
#include "front/tool_message.h"
#include "xen/platform.h"

static const struct arg_command commands[] = {
    [CMD_INFO] = {"info", 0, 0, "no argument", NULL, "show what the back end says of the disk"},
    [CMD_READ] = {"read", 0, 0, "no argument", NULL, "copy the disk to standard output"},
    [CMD_WRITE] = {"write", 0, 0, "no argument", NULL,
                   "copy standard input onto the disk, then flush"},
    [CMD_FLUSH] = {"flush", 0, 0, "no argument", NULL, "make all written data durable"},
    [CMD_DISCARD] = {"discard", 0, 0, "no argument", NULL,
                     "throw a range away (needs --offset and --length)"},
    [CMD_BENCH] = {"bench", 0, 0, "no argument", NULL,
                   "measure; with --op write or mixed it OVERWRITES the disk"},
    [CMD_CONFORM] = {"conform", 0, 0, "no argument", NULL,
                     "judge the back end against the protocol; it OVERWRITES the disk"},
};

#define INFO ARG_BIT(CMD_INFO)
#define READ ARG_BIT(CMD_READ)
#define WRITE ARG_BIT(CMD_WRITE)
#define DISCARD ARG_BIT(CMD_DISCARD)
#define BENCH ARG_BIT(CMD_BENCH)
#define CONFORM ARG_BIT(CMD_CONFORM)
#define NOT_CONFORM (~0u & ~CONFORM) /* the cases of conform choose these themselves */
#define AT(field) offsetof(struct tool_options, field)

static const char *const abis[] = {"x86_64", "x86_32", "native", "none", NULL};
static const char *const ops[] = {
    [BENCH_READ] = "read", [BENCH_WRITE] = "write", [BENCH_MIXED] = "mixed", NULL};
static const char *const patterns[] = {"rand", "seq", NULL};

static const struct arg_option options[] = {
    {.kind = ARG_HEADING, .help = "Which disk:"},
    {"run-dir", ARG_TEXT, AT(front.run_dir), "DIR",
     "directory of an embedded Xen (default: the real Xen)"},
    {"domain", ARG_NUMBER, AT(front.domid), "N", "the guest's domain", 0, 0, XEN_DOMID_MAX},
    {"vdev", ARG_TEXT, AT(front.vdev), "NAME", "xvda, hdb, sdc1 ... or a number"},
    {.kind = ARG_HEADING, .help = "How to connect:"},
    {"abi", ARG_WORD, AT(abi), "A", "x86_64 (default), x86_32, native, none", NOT_CONFORM,
     .words = abis},
    {"ring-order", ARG_NUMBER, AT(front.ring_order), "K", "ring of 2^K pages, 0 to 4", NOT_CONFORM,
     0, 4},
    {"queues", ARG_NUMBER, AT(front.queues), "N",
     "1 to 16 rings, but not more than the back end offers (default: one)", NOT_CONFORM, 1, 16},
    {"persistent", ARG_SWITCH, AT(front.persistent), NULL, "let the back end keep the pages mapped",
     NOT_CONFORM},
    {"timeout", ARG_NUMBER, AT(front.timeout_ms), "MS", "for each answer awaited (default 10000)",
     0, 1, 3600000},
    {.kind = ARG_HEADING, .help = "Options of info, read, write and discard:"},
    {"connect", ARG_SWITCH, AT(connect), NULL, "info: connect for it", INFO},
    {"offset", ARG_BYTES, AT(offset), "O", "first byte (default 0)", READ | WRITE | DISCARD},
    {"length", ARG_BYTES, AT(length), "L", "bytes (default: to the end)", READ | WRITE | DISCARD},
    {"no-flush", ARG_SWITCH, AT(no_flush), NULL, "write: leave the flush out", WRITE},
    {"secure", ARG_SWITCH, AT(secure), NULL, "discard: so that the data cannot be got back",
     DISCARD},
    {.kind = ARG_HEADING, .help = "Options of bench:"},
    {"op", ARG_WORD, AT(op), "OP", "read (default), write, mixed", BENCH, .words = ops},
    {"pattern", ARG_WORD, AT(sequential), "P", "rand (default), seq", BENCH, .words = patterns},
    {"depth", ARG_NUMBER, AT(depth), "N", "requests in flight in each queue (default 32)", BENCH, 1,
     512},
    {"size", ARG_BYTES, AT(size), "S", "of one request, up to 44K (default 4K)", BENCH},
    {"seconds", ARG_NUMBER, AT(seconds), "S", "how long (default 5)", BENCH, 1, 86400},
    {.kind = ARG_HEADING, .help = "Options of conform:"},
    {"list", ARG_SWITCH, AT(list), NULL, "only name the cases, with who demands them", CONFORM},
    {"group", ARG_TEXT, AT(group), "G",
     "only negotiation, rings, ABIs, segments, operations, ordering, limits, errors or hostile",
     CONFORM},
    {"case", ARG_TEXT, AT(pattern), "PATTERN",
     "only cases with that in their name; a glob if it has *, ? or [", CONFORM},
    {"revive", ARG_TEXT, AT(revive), "COMMAND",
     "a shell's, run when the back end cannot be used any more after a case ($CONFORM_CASE); "
     "with status 0 the next cases are tried, otherwise skipped",
     CONFORM},
    {"yes-overwrite", ARG_SWITCH, AT(overwrite), NULL,
     "needed on a real Xen: all data on the disk is lost", CONFORM},
    {.kind = ARG_HEADING, .help = "Output:"},
    {"json", ARG_SWITCH, AT(json), NULL, "info, bench, conform: JSON", INFO | BENCH | CONFORM},
    {"progress", ARG_SWITCH, AT(progress), NULL,
     "read, write, conform: how far it is, on standard error, also if that is not a terminal",
     READ | WRITE | CONFORM},
};

static const struct arg_program program = {
    "xenblkfront",
    "--domain N --vdev NAME COMMAND",
    "Plays the guest's side of a Xen block device, in user space.",
    "Sizes are bytes and take K, M, G, T (powers of 1024). Exit status: 0, 1 failed, 2 usage.",
    options,
    ARG_COUNT(options),
    commands,
    ARG_COUNT(commands)};

static int usage(const char *text)
{
	tool_error("%s", text);
	return TOOL_USAGE;
}

int tool_parse(int argc, char **argv, struct tool_options *o)
{
	struct error err;
	struct args args;
	uint32_t devid;

	if (args_parse(&program, argc, argv, o, &args, &err))
		return usage(err.text);
	if (args.help) {
		args_help(&program, stdout);
		return -1;
	}
	o->command = args.command;
	o->front.abi = abis[o->abi];
	o->have_offset = args_given(&program, &args, "offset");
	o->have_length = args_given(&program, &args, "length");
	if (o->list)
		return 0;
	if (!args_given(&program, &args, "domain"))
		return usage("--domain is missing: the guest's number; see xenblkfront --help");
	if (!o->front.vdev)
		return usage("--vdev is missing: the disk's name, as in --vdev xvda");
	if (vdev_parse(o->front.vdev, &devid)) {
		error_set(&err, -1,
		          "invalid --vdev `%s`: xvda, hdb, sdc1 ... or a number is "
		          "expected",
		          o->front.vdev);
		return usage(err.text);
	}
	if (o->command == CMD_DISCARD && !(o->have_offset && o->have_length))
		return usage("discard needs --offset and --length");
	return 0;
}
