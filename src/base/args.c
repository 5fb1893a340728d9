/* SPDX-License-Identifier: MIT */
/* argp takes the words apart and lays --help out. It writes no error texts: its own take two lines,
 * and a test cannot catch them. */
#include "base/args.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

#define NAME_MAX_BYTES 40
#define KEY_HELP 'h'   /* the one short option */
#define KEY_OPTION 256 /* plus the place in the table: not the code of any character */

/* On the stack of args_parse. */
struct parsing {
	const struct arg_program *p;
	char *fields;
	struct args *out;
	struct error *err;
	bool explained; /* why argp stopped: *err is set, or help was asked for */
};

static int fail(struct parsing *ps)
{
	ps->explained = true;
	return EINVAL;
}

static int take_word(struct parsing *ps, const char *word)
{
	if (ps->out->words == ARG_WORDS_MAX) {
		error_set(ps->err, -EINVAL,
		          "too many words: at most %d are possible, `%s` is one "
		          "more",
		          ARG_WORDS_MAX, word);
		return fail(ps);
	}
	ps->out->word[ps->out->words++] = word;
	return 0;
}

static int take_choice(const struct arg_option *o, const char *value, unsigned *field,
                       struct error *err)
{
	char known[200] = "";

	for (unsigned i = 0; o->words[i]; i++) {
		if (!strcmp(o->words[i], value)) {
			*field = i;
			return 0;
		}
		size_t n = strlen(known);
		snprintf(known + n, sizeof known - n, "%s%s",
		         !i                ? ""
		         : o->words[i + 1] ? ", "
		                           : " or ",
		         o->words[i]);
	}
	return error_set(err, -EINVAL, "invalid --%s `%s`: %s is expected", o->name, value, known);
}

static int take_value(const struct arg_option *o, const char *value, char *field, struct error *err)
{
	switch (o->kind) {
	case ARG_SWITCH:
		*(bool *)field = true;
		return 0;
	case ARG_TEXT:
		*(const char **)(void *)field = value;
		return 0;
	case ARG_NUMBER:
		if (!parse_u32(value, o->min, o->max, (uint32_t *)(void *)field))
			return 0;
		return error_set(err, -EINVAL,
		                 "invalid --%s `%s`: a number from %u to %u is expected", o->name,
		                 value, o->min, o->max);
	case ARG_BYTES:
		if (!parse_size(value, (uint64_t *)(void *)field))
			return 0;
		return error_set(err, -EINVAL,
		                 "invalid --%s `%s`: bytes are expected, with K, M, G or T if you "
		                 "like",
		                 o->name, value);
	case ARG_WORD:
		return take_choice(o, value, (unsigned *)(void *)field, err);
	case ARG_HEADING:
		break;
	}
	return -EINVAL;
}

/* Letters to insert, remove or replace that make b of a's first `len` letters. */
static unsigned edits(const char *a, size_t len, const char *b)
{
	unsigned row[NAME_MAX_BYTES + 1], diagonal, above;
	size_t width = strlen(b);

	if (len > NAME_MAX_BYTES || width > NAME_MAX_BYTES)
		return UINT_MAX;
	for (unsigned j = 0; j <= width; j++)
		row[j] = j;
	for (size_t i = 0; i < len; i++) {
		diagonal = row[0]++;
		for (size_t j = 1; j <= width; j++, diagonal = above) {
			above = row[j];
			unsigned shorter = above < row[j - 1] ? above : row[j - 1];
			unsigned replaced = diagonal + (a[i] != b[j - 1]);
			row[j] = replaced <= shorter ? replaced : shorter + 1;
		}
	}
	return row[width];
}

/* Takes name as a hint if it is nearer to the word than the hint so far. */
static void consider(const char *word, size_t len, const char *name, const char **hint)
{
	unsigned limit = len > 4 ? 3 : 2, so_far = *hint ? edits(word, len, *hint) : limit;

	if (edits(word, len, name) < so_far)
		*hint = name;
}

/* Whether this word is what argp stumbled over; *err then says why. */
static bool explain(const struct arg_program *p, const char *word, struct error *err)
{
	size_t len = strcspn(word, "=");
	const struct arg_option *found[2] = {NULL, NULL};
	const char *hint = NULL;

	if (word[0] != '-' || !word[1])
		return false;
	for (size_t i = 0; word[1] == '-' && i < p->nr_options; i++) {
		const struct arg_option *o = &p->options[i];
		if (o->kind == ARG_HEADING)
			continue;
		if (strncmp(o->name, word + 2, len - 2)) {
			if (o->help)
				consider(word + 2, len - 2, o->name, &hint);
			continue;
		}
		bool exact = strlen(o->name) == len - 2;
		found[1] = exact ? NULL : found[0];
		found[0] = o;
		if (exact)
			break;
	}
	if (!found[0])
		error_set(err, -EINVAL, "unknown option %.*s; %s%s%s", (int)len, word,
		          hint ? "did you mean --" : "see ", hint ?: p->name,
		          hint ? "?" : " --help");
	else if (found[1])
		error_set(err, -EINVAL, "ambiguous option %.*s: --%s or --%s is possible", (int)len,
		          word, found[1]->name, found[0]->name);
	else if (word[len] && found[0]->kind == ARG_SWITCH)
		error_set(err, -EINVAL, "--%s takes no value", found[0]->name);
	else if (!word[len] && found[0]->kind != ARG_SWITCH)
		error_set(err, -EINVAL, "--%s needs a value: %s", found[0]->name, found[0]->value);
	else
		return false;
	return true;
}

/* argp has left `next` behind the faulty word, or before it if that is letters behind one "-". */
static void explain_error(const struct argp_state *state)
{
	struct parsing *ps = state->input;

	if (ps->explained || explain(ps->p, state->argv[state->next - 1], ps->err))
		return;
	if (state->next >= state->argc || !explain(ps->p, state->argv[state->next], ps->err))
		error_set(ps->err, -EINVAL, "out of memory");
}

static error_t parse_key(int key, char *arg, struct argp_state *state)
{
	struct parsing *ps = state->input;
	unsigned place = (unsigned)(key - KEY_OPTION);
	int rc;

	if (key >= KEY_OPTION && place < ps->p->nr_options) {
		const struct arg_option *o = &ps->p->options[place];

		ps->out->given |= (uint64_t)1 << place;
		return take_value(o, arg, ps->fields + o->at, ps->err) ? fail(ps) : 0;
	}
	switch (key) {
	case KEY_HELP:
		ps->out->help = ps->explained = true;
		return ECANCELED; /* the rest does not count */
	case ARGP_KEY_ARG:
		rc = take_word(ps, arg);
		/* Behind a word, a negative number is one, too. */
		while (!rc && state->next < state->argc && state->argv[state->next][0] == '-' &&
		       isdigit((unsigned char)state->argv[state->next][1]))
			rc = take_word(ps, state->argv[state->next++]);
		return rc;
	case ARGP_KEY_ERROR:
		explain_error(state);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* argp's tables, made of a program's. names: storage for the commands' lines in --help. */
struct tables {
	struct argp_option options[ARG_OPTIONS_MAX + 40];
	char names[32][64];
	char doc[3000];
	struct argp argp;
};

static void make_tables(const struct arg_program *p, struct tables *t)
{
	struct argp_option *out = t->options;

	*t = (struct tables){.argp = {t->options, parse_key, p->usage, t->doc}};
	snprintf(t->doc, sizeof t->doc, "%s\v%s", p->intro, p->outro);
	if (p->nr_commands)
		*out++ = (struct argp_option){.doc = "Commands:"};
	for (size_t i = 0; i < p->nr_commands; i++) {
		const struct arg_command *c = &p->commands[i];
		/* Without the blank argp puts `version` last, as if it were the option. */
		snprintf(t->names[i], sizeof t->names[i], "%s %s", c->name, c->usage ?: "");
		if (c->help)
			*out++ = (struct argp_option){.name = t->names[i],
			                              .flags = OPTION_DOC | OPTION_NO_USAGE,
			                              .doc = c->help};
	}
	for (size_t i = 0; i < p->nr_options; i++) {
		const struct arg_option *o = &p->options[i];
		*out++ = o->kind == ARG_HEADING
		             ? (struct argp_option){.doc = o->help}
		             : (struct argp_option){.name = o->name,
		                                    .key = KEY_OPTION + (int)i,
		                                    .arg = o->value,
		                                    .flags = o->help ? 0 : OPTION_HIDDEN,
		                                    .doc = o->help};
	}
	*out =
	    (struct argp_option){.name = "help", .key = KEY_HELP, .doc = "this text", .group = -1};
}

/* The command that the first word names, and whether it takes the rest. */
static int check_command(const struct arg_program *p, struct args *a, struct error *err)
{
	const struct arg_command *c = p->commands;
	const char *hint = NULL;

	if (!a->words)
		return error_set(err, -EINVAL, "no command given; see %s --help", p->name);
	while (c < p->commands + p->nr_commands && strcmp(c->name, a->word[0])) {
		consider(a->word[0], strlen(a->word[0]), c->name, &hint);
		c++;
	}
	if (c == p->commands + p->nr_commands)
		return error_set(err, -EINVAL, "unknown command `%s`; %s%s%s", a->word[0],
		                 hint ? "did you mean " : "see ", hint ?: p->name,
		                 hint ? "?" : " --help");
	a->command = (unsigned)(c - p->commands);
	a->words--;
	memmove(a->word, a->word + 1, a->words * sizeof *a->word);
	for (size_t i = 0; i < p->nr_options; i++)
		if (a->given >> i & 1 && p->options[i].commands &&
		    !(p->options[i].commands & ARG_BIT(a->command)))
			return error_set(err, -EINVAL, "%s has no option --%s; see %s --help",
			                 c->name, p->options[i].name, p->name);
	if (a->words < c->min_words || a->words > c->max_words)
		return error_set(err, -EINVAL, "%s wants %s", c->name, c->wants);
	return 0;
}

int args_parse(const struct arg_program *p, int argc, char **argv, void *fields, struct args *out,
               struct error *err)
{
	struct parsing ps = {p, fields, out, err, false};
	struct tables t;

	*out = (struct args){0};
	make_tables(p, &t);
	if (argp_parse(&t.argp, argc, argv,
	               ARGP_IN_ORDER | ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_NO_EXIT, NULL, &ps))
		return out->help ? 0 : -EINVAL;
	if (p->commands)
		return check_command(p, out, err);
	if (out->words)
		return error_set(err, -EINVAL, "unexpected word `%s`; see %s --help", out->word[0],
		                 p->name);
	return 0;
}

bool args_given(const struct arg_program *p, const struct args *a, const char *name)
{
	for (size_t i = 0; i < p->nr_options; i++)
		if (p->options[i].kind != ARG_HEADING && !strcmp(p->options[i].name, name))
			return a->given >> i & 1;
	abort();
}

void args_help(const struct arg_program *p, FILE *to)
{
	struct tables t;

	make_tables(p, &t);
	argp_help(&t.argp, to, ARGP_HELP_SHORT_USAGE | ARGP_HELP_DOC | ARGP_HELP_LONG,
	          (char *)p->name);
}
