/* SPDX-License-Identifier: MIT */
/*
 * Killed at each step of the crash protocol, those of recovery included, under a verifying writer:
 * no request fails, none is answered twice or lost, no block is wrong. Each step has a script that
 * leads there: what the worker before it must have died of, then the step itself.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash_host.h"
#include "writer.h"

#define MANY 40 /* passes before the kill: the ring is busy then */

struct order {
	enum crash_step step;
	uint32_t passes;
	int signal; /* 0: SIGKILL */
};

struct script {
	struct order order[4]; /* the last one with passes is the step that it is about */
	bool one_queue;        /* with several, another one may pass the step, with nothing to do */
};

static const struct script scripts[] = {
    {{{CRASH_JOURNAL_FILLED, 1}}},
    {{{CRASH_JOURNAL_NAMED, 1}}},
    {{{CRASH_TAKE_RAW, MANY}}},
    {{{CRASH_TAKE_STATE, MANY}}},
    {{{CRASH_TAKE_CONS, MANY}}},
    {{{CRASH_START, MANY}}},
    {{{CRASH_ANSWER_DONE, MANY}}},
    {{{CRASH_ANSWER_RING, MANY}}},
    {{{CRASH_ANSWER_RSP, MANY}}},
    {{{CRASH_ANSWER_STATE, MANY}}},
    {{{CRASH_PUBLISH_RING, MANY}}},
    {{{CRASH_PUBLISH_RSP, MANY}}},
    {{{CRASH_PUBLISH_FREE, MANY}}},
    {{{CRASH_PUBLISH_NOTIFY, MANY}}},
    {{{CRASH_PUBLISH_END, MANY}}},
    {{{CRASH_SLEEP_ARM, 2}}},
    /* recovery, each after a death that gives the step something to do */
    {{{CRASH_TAKE_CONS, MANY}, {CRASH_RECOVER_OWNER, 1}}},
    {{{CRASH_TAKE_STATE, MANY}, {CRASH_RECOVER_CONS, 1}}},
    {{{CRASH_PUBLISH_RSP, MANY}, {CRASH_RECOVER_OLD, 1}}},
    {{{CRASH_ANSWER_STATE, MANY}, {CRASH_RECOVER_RSP, 1}}},
    {{{CRASH_PUBLISH_RING, MANY}, {CRASH_RECOVER_RSP, 1}}},
    {{{CRASH_PUBLISH_RING, MANY}, {CRASH_RECOVER_FREE, 1}}},
    {{{CRASH_START, MANY, SIGILL}, {CRASH_RECOVER_ATTEMPT, 1}}},
    {{{CRASH_START, MANY, SIGILL}, {CRASH_RECOVER_FAULT, 1}}},
    {{{CRASH_START, MANY, SIGILL}, {CRASH_RECOVER_EPOCH, 1}}},
    {{{CRASH_ANSWER_STATE, MANY}, {CRASH_RECOVER_CURRENT, 1}}},
    {{{CRASH_ANSWER_STATE, MANY}, {CRASH_RECOVER_BIND, 1}}},
    {{{CRASH_ANSWER_STATE, MANY}, {CRASH_RECOVER_ANSWER, 1}}},
    {{{CRASH_TAKE_CONS, MANY}, {CRASH_RECOVER_ACCEPT, 1}}},
    {{{CRASH_ANSWER_STATE, MANY}, {CRASH_RECOVER_END, 1}}},
    /* publish of a recovery, and a recovery of a recovery */
    {{{CRASH_ANSWER_STATE, MANY}, {CRASH_PUBLISH_RING, 1}, {CRASH_RECOVER_FREE, 1}}, true},
    {{{CRASH_ANSWER_STATE, MANY}, {CRASH_PUBLISH_RSP, 1}, {CRASH_RECOVER_OLD, 1}}, true},
    {{{CRASH_ANSWER_STATE, MANY}, {CRASH_PUBLISH_NOTIFY, 1}}},
    {{{CRASH_TAKE_STATE, MANY}, {CRASH_RECOVER_CONS, 1}, {CRASH_RECOVER_ACCEPT, 2}}},
    /* with more queues, a journal is missing: that is no recovery, but a connect that begins anew */
    {{{CRASH_JOURNAL_NAMED, 1}, {CRASH_RECOVER_END, 1}}, true},
    /* the end of a connection */
    {{{CRASH_END_DRAINED, 1}}},
    {{{CRASH_END_DELETED, 1}}},
};
#define NR_SCRIPTS (sizeof scripts / sizeof *scripts)

static const char *describe(const struct script *s)
{
	static char text[200];
	int n = 0;

	for (unsigned i = 0; i < 4 && s->order[i].passes; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, "%s%s", i ? ", then " : "",
		              crash_step_name(s->order[i].step));
	return text;
}

/* Two connections from now on are over: all was checked through the front end and in the image. */
static void wait_rounds(const struct writer_board *b, pid_t writer, unsigned rounds)
{
	unsigned first = __atomic_load_n(&b->round, __ATOMIC_ACQUIRE);

	while (__atomic_load_n(&b->round, __ATOMIC_ACQUIRE) < first + rounds) {
		writer_check(writer);
		usleep(1000);
	}
}

static void run_script(struct crash_host *c, const struct script *s, struct writer_board *board,
                       pid_t writer)
{
	crash_clear(c);
	for (unsigned i = 0; i < 4 && s->order[i].passes; i++)
		crash_order(c, s->order[i].step, s->order[i].passes, CRASH_ANY,
		            s->order[i].signal ? s->order[i].signal : SIGKILL);
	if (!crash_wait(c))
		fail_msg("%s: %u of %u deaths only", describe(s), c->page->next, c->page->nr);
	/* The connection's end and a whole one after it; then its deaths are forgotten. */
	wait_rounds(board, writer, 2);
}

static void each_step(struct crash_host *c, unsigned queues)
{
	const char *image = host_image(&c->h, "a.img", WRITER_BYTES);
	struct writer_board *board = writer_boards(1);

	host_attach(&c->h, &(struct disk){.params = image}, image);
	pid_t writer = writer_start(&(struct writer_options){
	    .run_dir = c->h.dir,
	    .domid = 1,
	    .image = image,
	    .queues = queues,
	    .seed = 1,
	    .round_ms = 60,
	    .board = board,
	});
	wait_rounds(board, writer, 1);
	for (unsigned i = 0; i < NR_SCRIPTS; i++)
		if (!scripts[i].one_queue || queues < 2)
			run_script(c, &scripts[i], board, writer);
	writer_finish(writer, board);
	host_detach(&c->h, 1, XVDA);
	for (unsigned i = 0; i < CRASH_NR; i++)
		if (!c->page->kills[i])
			fail_msg("nobody was killed at %s", crash_step_name(i));
}

static void one_queue(void **state)
{
	each_step(*state, 0);
}

static void several_queues(void **state)
{
	each_step(*state, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {crash_case(one_queue), crash_case(several_queues)};

	return cmocka_run_group_tests_name("crash_steps", tests, NULL, NULL);
}
