/* SPDX-License-Identifier: MIT */
/* The command line of xenblkfront. */
#include "front/tool.h"

#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#include "base/parse.h"
#include "blkif/vdev.h"

static const char help_text[] =
    "Usage: xenblkfront [--run-dir DIR] --domain N --vdev NAME [OPTIONS] COMMAND\n"
    "Plays the guest's side of a Xen block device, in user space.\n"
    "\n"
    "Commands\n"
    "  info      show what the back end says of the disk (--connect: connect for it)\n"
    "  read      copy the disk to standard output\n"
    "  write     copy standard input onto the disk, then flush\n"
    "  flush     make all written data durable\n"
    "  discard   throw a range away (needs --offset and --length)\n"
    "  bench     measure; with --op write or mixed it OVERWRITES the disk\n"
    "  conform   judge the back end against the protocol; it OVERWRITES the disk\n"
    "\n"
    "Which disk\n"
    "  --run-dir DIR      directory of an embedded Xen (default: the real Xen)\n"
    "  --domain N         the guest's domain\n"
    "  --vdev NAME        xvda, hdb, sdc1 ... or a number\n"
    "  --abi A            x86_64 (default), x86_32, native, none\n"
    "  --ring-order K     ring of 2^K pages, 0 to 4\n"
    "  --queues N         1 to 16 rings, but not more than the back end offers (default: one)\n"
    "  --persistent       let the back end keep the pages mapped\n"
    "  --timeout MS       for each answer awaited (default 10000)\n"
    "\n"
    "read, write, discard\n"
    "  --offset O         first byte (default 0)\n"
    "  --length L         bytes (default: to the end)\n"
    "  --progress         bar on standard error, also if that is no terminal\n"
    "  --no-flush         write: leave the flush out\n"
    "  --secure           discard: so that the data can not be got back\n"
    "\n"
    "bench\n"
    "  --op OP            read (default), write, mixed\n"
    "  --pattern P        rand (default), seq\n"
    "  --depth N          requests in flight in each queue (default 32)\n"
    "  --size S           of one request, up to 44K (default 4K)\n"
    "  --seconds S        how long (default 5)\n"
    "\n"
    "conform\n"
    "  --list             only name the cases, with who demands them\n"
    "  --group G          only negotiation, rings, ABIs, segments, operations, ordering,\n"
    "                     limits, errors or hostile\n"
    "  --case PATTERN     only cases with that in their name; a glob if it has *, ? or [\n"
    "  --revive COMMAND   a shell's, run when the back end cannot be used any more after a case\n"
    "                     ($CONFORM_CASE); with status 0 the next cases are tried, else skipped\n"
    "  --yes-overwrite    needed on a real Xen: all data on the disk is lost\n"
    "  --progress         which case runs, on standard error, also if that is no terminal\n"
    "\n"
    "  --json             info, bench, conform: JSON\n"
    "  --help\n"
    "\n"
    "Sizes are bytes and take K, M, G, T (powers of 1024). Exit status: 0, 1 failed, 2 usage.\n";

static const struct tool_command commands[] = {
    {"info", CMD_INFO, tool_info},
    {"read", CMD_READ, tool_read},
    {"write", CMD_WRITE, tool_write},
    {"flush", CMD_FLUSH, tool_flush},
    {"discard", CMD_DISCARD, tool_discard},
    {"bench", CMD_BENCH, tool_bench},
    {"conform", CMD_CONFORM, NULL, tool_conform},
};

enum option_id {
	OPT_RUN_DIR = 256,
	OPT_DOMAIN,
	OPT_VDEV,
	OPT_ABI,
	OPT_RING_ORDER,
	OPT_QUEUES,
	OPT_PERSISTENT,
	OPT_TIMEOUT,
	OPT_JSON,
	OPT_CONNECT,
	OPT_OFFSET,
	OPT_LENGTH,
	OPT_PROGRESS,
	OPT_NO_FLUSH,
	OPT_SECURE,
	OPT_OP,
	OPT_PATTERN,
	OPT_DEPTH,
	OPT_SIZE,
	OPT_SECONDS,
	OPT_LIST,
	OPT_GROUP,
	OPT_CASE,
	OPT_REVIVE,
	OPT_OVERWRITE,
	OPT_HELP,
};

static const struct option long_options[] = {
    {"run-dir", required_argument, NULL, OPT_RUN_DIR},
    {"domain", required_argument, NULL, OPT_DOMAIN},
    {"vdev", required_argument, NULL, OPT_VDEV},
    {"abi", required_argument, NULL, OPT_ABI},
    {"ring-order", required_argument, NULL, OPT_RING_ORDER},
    {"queues", required_argument, NULL, OPT_QUEUES},
    {"persistent", no_argument, NULL, OPT_PERSISTENT},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"json", no_argument, NULL, OPT_JSON},
    {"connect", no_argument, NULL, OPT_CONNECT},
    {"offset", required_argument, NULL, OPT_OFFSET},
    {"length", required_argument, NULL, OPT_LENGTH},
    {"progress", no_argument, NULL, OPT_PROGRESS},
    {"no-flush", no_argument, NULL, OPT_NO_FLUSH},
    {"secure", no_argument, NULL, OPT_SECURE},
    {"op", required_argument, NULL, OPT_OP},
    {"pattern", required_argument, NULL, OPT_PATTERN},
    {"depth", required_argument, NULL, OPT_DEPTH},
    {"size", required_argument, NULL, OPT_SIZE},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"list", no_argument, NULL, OPT_LIST},
    {"group", required_argument, NULL, OPT_GROUP},
    {"case", required_argument, NULL, OPT_CASE},
    {"revive", required_argument, NULL, OPT_REVIVE},
    {"yes-overwrite", no_argument, NULL, OPT_OVERWRITE},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* Which commands an option goes with. */
static unsigned option_commands(int id)
{
	switch (id) {
	case OPT_JSON:
		return CMD_INFO | CMD_BENCH | CMD_CONFORM;
	case OPT_ABI:
	case OPT_RING_ORDER:
	case OPT_QUEUES:
	case OPT_PERSISTENT:
		return CMD_ALL & ~(unsigned)CMD_CONFORM; /* its cases have their own */
	case OPT_LIST:
	case OPT_GROUP:
	case OPT_CASE:
	case OPT_REVIVE:
	case OPT_OVERWRITE:
		return CMD_CONFORM;
	case OPT_CONNECT:
		return CMD_INFO;
	case OPT_OFFSET:
	case OPT_LENGTH:
		return CMD_READ | CMD_WRITE | CMD_DISCARD;
	case OPT_PROGRESS:
		return CMD_READ | CMD_WRITE | CMD_CONFORM;
	case OPT_NO_FLUSH:
		return CMD_WRITE;
	case OPT_SECURE:
		return CMD_DISCARD;
	case OPT_OP:
	case OPT_PATTERN:
	case OPT_DEPTH:
	case OPT_SIZE:
	case OPT_SECONDS:
		return CMD_BENCH;
	}
	return CMD_ALL;
}

static int usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int usage(const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	tool_error("%s: see xenblkfront --help", text);
	return TOOL_USAGE;
}

static int number(const char *name, const char *s, uint32_t min, uint32_t max, unsigned *out)
{
	uint32_t v;

	if (parse_u32(s, min, max, &v))
		return usage("--%s takes a number from %u to %u, not '%s'", name, min, max, s);
	*out = v;
	return 0;
}

static int bytes(const char *name, const char *s, uint64_t *out)
{
	if (parse_size(s, out))
		return usage("--%s takes bytes, with K, M, G or T, not '%s'", name, s);
	return 0;
}

static int bench_op(const char *s, struct tool_options *o)
{
	static const char *const names[] = {"read", "write", "mixed"};

	for (unsigned i = 0; i < 3; i++)
		if (!strcmp(s, names[i])) {
			o->op = (enum bench_op)i;
			return 0;
		}
	return usage("--op is read, write or mixed, not '%s'", s);
}

static int bench_pattern(const char *s, struct tool_options *o)
{
	o->sequential = !strcmp(s, "seq");
	return o->sequential || !strcmp(s, "rand") ? 0
	                                           : usage("--pattern is rand or seq, not '%s'", s);
}

static int abi(const char *s, struct tool_options *o)
{
	static const char *const names[] = {"x86_64", "x86_32", "native", "none"};

	o->front.abi = s;
	for (unsigned i = 0; i < 4; i++)
		if (!strcmp(s, names[i]))
			return 0;
	return usage("--abi is x86_64, x86_32, native or none, not '%s'", s);
}

static int one_option(int id, const char *name, const char *arg, struct tool_options *o)
{
	uint32_t devid;

	switch (id) {
	case OPT_RUN_DIR:
		o->front.run_dir = arg;
		return 0;
	case OPT_DOMAIN:
		return number(name, arg, 0, 0x7fef, &o->front.domid);
	case OPT_VDEV:
		o->front.vdev = arg;
		return vdev_parse(arg, &devid) ? usage("'%s' is no virtual device", arg) : 0;
	case OPT_ABI:
		return abi(arg, o);
	case OPT_RING_ORDER:
		return number(name, arg, 0, 4, &o->front.ring_order);
	case OPT_QUEUES:
		return number(name, arg, 1, 16, &o->front.queues);
	case OPT_PERSISTENT:
		o->front.persistent = true;
		return 0;
	case OPT_TIMEOUT:
		return number(name, arg, 1, 3600000, &o->front.timeout_ms);
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_CONNECT:
		o->connect = true;
		return 0;
	case OPT_OFFSET:
		o->have_offset = true;
		return bytes(name, arg, &o->offset);
	case OPT_LENGTH:
		o->have_length = true;
		return bytes(name, arg, &o->length);
	case OPT_PROGRESS:
		o->progress = true;
		return 0;
	case OPT_NO_FLUSH:
		o->no_flush = true;
		return 0;
	case OPT_SECURE:
		o->secure = true;
		return 0;
	case OPT_OP:
		return bench_op(arg, o);
	case OPT_PATTERN:
		return bench_pattern(arg, o);
	case OPT_DEPTH:
		return number(name, arg, 1, 512, &o->depth);
	case OPT_SIZE:
		return bytes(name, arg, &o->size);
	case OPT_SECONDS:
		return number(name, arg, 1, 86400, &o->seconds);
	case OPT_LIST:
		o->list = true;
		return 0;
	case OPT_GROUP:
		o->group = arg;
		return 0;
	case OPT_CASE:
		o->pattern = arg;
		return 0;
	case OPT_REVIVE:
		o->revive = arg;
		return 0;
	case OPT_OVERWRITE:
		o->overwrite = true;
		return 0;
	}
	return TOOL_USAGE;
}

static const struct tool_command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

int tool_parse(int argc, char **argv, struct tool_options *o, const struct tool_command **cmd)
{
	const char *wrong[sizeof long_options / sizeof *long_options];
	unsigned allowed[sizeof long_options / sizeof *long_options];
	unsigned n = 0;
	bool domain = false;
	int id, at;

	while ((id = getopt_long(argc, argv, ":", long_options, &at)) != -1) {
		if (id == OPT_HELP) {
			fputs(help_text, stdout);
			return -1;
		}
		if (id == ':')
			return usage("%s needs a value", argv[optind - 1]);
		if (id == '?')
			return usage("unknown option %s", argv[optind - 1]);
		int rc = one_option(id, long_options[at].name, optarg, o);
		if (rc)
			return rc;
		domain |= id == OPT_DOMAIN;
		if (n < sizeof wrong / sizeof *wrong) {
			wrong[n] = long_options[at].name;
			allowed[n++] = option_commands(id);
		}
	}
	if (optind == argc)
		return usage("no command given");
	*cmd = find_command(argv[optind]);
	if (!*cmd)
		return usage("unknown command '%s'", argv[optind]);
	if (optind + 1 < argc)
		return usage("'%s' is too much", argv[optind + 1]);
	for (unsigned i = 0; i < n; i++)
		if (!(allowed[i] & (*cmd)->bit))
			return usage("--%s does not go with %s", wrong[i], (*cmd)->name);
	if (o->list)
		return 0;
	if (!domain || !o->front.vdev)
		return usage("--%s is missing", domain ? "vdev" : "domain");
	if ((*cmd)->bit == CMD_DISCARD && !(o->have_offset && o->have_length))
		return usage("discard needs --offset and --length");
	return 0;
}
