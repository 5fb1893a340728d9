/* SPDX-License-Identifier: MIT */
/* Command lines of the programs. A program describes its options and commands in tables; glibc's
 * argp parses by them and prints --help from them. */
#ifndef BASE_ARGS_H
#define BASE_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* What an option writes into the program's struct, at `at`. */
enum arg_kind {
	ARG_SWITCH,  /* bool: true; takes no value */
	ARG_TEXT,    /* const char *: the value, in argv */
	ARG_NUMBER,  /* unsigned: min to max */
	ARG_BYTES,   /* uint64_t: with K, M, G or T */
	ARG_WORD,    /* unsigned: which one of words */
	ARG_HEADING, /* not an option: help is a heading above the options that follow */
};

struct arg_option {
	const char *name; /* without "--" */
	enum arg_kind kind;
	size_t at;                /* offsetof */
	const char *value;        /* what --help calls the value */
	const char *help;         /* NULL: --help leaves the option out */
	unsigned commands;        /* ARG_BIT()s of the commands that take it; 0: all of them */
	uint32_t min, max;        /* ARG_NUMBER */
	const char *const *words; /* ARG_WORD, NULL behind the last */
};

/* Its place in the table is its number. */
struct arg_command {
	const char *name;
	unsigned min_words, max_words; /* behind its name */
	const char *wants;             /* "one ID, as in …": for an error */
	const char *usage;             /* the words in --help, after the name; or NULL */
	const char *help;              /* NULL: --help leaves the command out */
};

#define ARG_BIT(command) (1u << (command))
#define ARG_COUNT(table) (sizeof(table) / sizeof *(table))
#define ARG_OPTIONS_MAX 62
#define ARG_WORDS_MAX 17

/* Constant, like all that it points to. */
struct arg_program {
	const char *name;
	const char *usage;         /* in --help, behind the options; NULL: nothing */
	const char *intro, *outro; /* of --help */
	const struct arg_option *options;
	size_t nr_options;                  /* at most ARG_OPTIONS_MAX */
	const struct arg_command *commands; /* NULL: the program takes no words */
	size_t nr_commands;
};

/* The result. Words point into argv. */
struct args {
	bool help;        /* was asked for; nothing else counts then */
	unsigned command; /* its number */
	const char *word[ARG_WORDS_MAX];
	unsigned words;
	uint64_t given; /* bits of options, by their place in the table */
};

/* Fields of options that are not given keep their values. 0, or -EINVAL with *err naming the word
 * that is wrong. Any thread. */
int args_parse(const struct arg_program *p, int argc, char **argv, void *fields, struct args *out,
               struct error *err);
/* Whether the option of that name stood on the command line. */
bool args_given(const struct arg_program *p, const struct args *a, const char *name);
void args_help(const struct arg_program *p, FILE *to);

#endif
