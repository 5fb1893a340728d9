/* SPDX-License-Identifier: MIT */
/* Tokens in a hash table, each with its paths: a guest that causes many events delays its own. */
#include "xen/events.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

#define BUCKETS 256

struct event {
	struct list link;
	char path[];
};

/* A token, as long as events of it wait. */
struct topic {
	struct list turn, bucket;
	struct list events;
	unsigned count;
	bool all; /* its only event has no path */
	char token[];
};

struct events {
	struct list turns;
	struct list buckets[BUCKETS];
};

static struct list *bucket(struct events *e, const char *token)
{
	uint32_t hash = 5381;

	for (; *token; token++)
		hash = hash * 33 + (unsigned char)*token;
	return &e->buckets[hash % BUCKETS];
}

struct events *events_new(void)
{
	struct events *e = malloc(sizeof *e);

	if (!e)
		return NULL;
	list_init(&e->turns);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&e->buckets[i]);
	return e;
}

static void drop_events(struct topic *t)
{
	list_for_each(it, tmp, &t->events)
	{
		list_remove(it);
		free(container_of(it, struct event, link));
	}
	t->count = 0;
}

static void topic_free(struct topic *t)
{
	drop_events(t);
	list_remove(&t->turn);
	list_remove(&t->bucket);
	free(t);
}

void events_free(struct events *e)
{
	if (!e)
		return;
	list_for_each(it, tmp, &e->turns) topic_free(container_of(it, struct topic, turn));
	free(e);
}

static struct topic *find(struct events *e, const char *token)
{
	list_for_each(it, tmp, bucket(e, token))
	{
		struct topic *t = container_of(it, struct topic, bucket);
		if (!strcmp(t->token, token))
			return t;
	}
	return NULL;
}

static struct topic *topic_new(struct events *e, const char *token)
{
	struct topic *t = malloc(sizeof *t + strlen(token) + 1);

	if (!t)
		return NULL;
	*t = (struct topic){.count = 0};
	strcpy(t->token, token);
	list_init(&t->events);
	list_append(&e->turns, &t->turn);
	list_append(bucket(e, token), &t->bucket);
	return t;
}

static bool waits(const struct topic *t, const char *path)
{
	list_for_each(it, tmp, &t->events)
	{
		if (!strcmp(container_of(it, struct event, link)->path, path))
			return true;
	}
	return false;
}

static int add_path(struct topic *t, const char *path)
{
	struct event *event = malloc(sizeof *event + strlen(path) + 1);

	if (!event)
		return -ENOMEM;
	strcpy(event->path, path);
	list_append(&t->events, &event->link);
	t->count++;
	return 0;
}

int events_add(struct events *e, const char *path, const char *token)
{
	struct topic *t = find(e, token);
	int rc;

	if (t && (t->all || waits(t, path)))
		return 0;
	if (t && t->count >= EVENTS_PER_WATCH) {
		drop_events(t);
		t->all = true;
		path = "";
	}
	if (!t)
		t = topic_new(e, token);
	if (!t)
		return -ENOMEM;
	rc = add_path(t, path);
	if (!t->count)
		topic_free(t);
	return rc;
}

bool events_take(struct events *e, char *path, size_t path_cap, char *token, size_t token_cap)
{
	if (list_empty(&e->turns))
		return false;
	struct topic *t = container_of(e->turns.next, struct topic, turn);
	struct event *event = container_of(t->events.next, struct event, link);
	snprintf(path, path_cap, "%s", event->path);
	snprintf(token, token_cap, "%s", t->token);
	list_remove(&event->link);
	free(event);
	list_remove(&t->turn);
	list_append(&e->turns, &t->turn);
	if (!--t->count)
		topic_free(t);
	return true;
}
