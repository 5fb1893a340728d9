/* SPDX-License-Identifier: MIT */
/* All devices, found by domain and number without a scan. */
#include "daemon/device.h"

static unsigned bucket(uint32_t a, uint32_t b)
{
	return ((a * 0x9e3779b1u) ^ (b * 0x85ebca77u)) >> 22;
}
_Static_assert(TABLE_BUCKETS == 1u << 10, "bucket() gives 10 bits");

void table_init(struct daemon *d)
{
	for (unsigned i = 0; i < TABLE_BUCKETS; i++) {
		list_init(&d->by_id[i]);
		list_init(&d->by_domain[i]);
	}
	list_init(&d->dirty);
}

struct device *table_find(struct daemon *d, uint16_t domid, uint32_t devid)
{
	list_for_each(it, tmp, &d->by_id[bucket(domid, devid)])
	{
		struct device *dev = container_of(it, struct device, id_link);
		if (dev->domid == domid && dev->devid == devid)
			return dev;
	}
	return NULL;
}

void table_add(struct device *dev)
{
	struct daemon *d = dev->d;

	list_append(&d->by_id[bucket(dev->domid, dev->devid)], &dev->id_link);
	list_append(&d->by_domain[bucket(dev->domid, 0)], &dev->domain_link);
	list_init(&dev->dirty_link);
	d->nr_devices++;
}

void table_remove(struct device *dev)
{
	list_remove(&dev->id_link);
	list_remove(&dev->domain_link);
	list_remove(&dev->dirty_link);
	dev->d->nr_devices--;
}

void table_each(struct daemon *d, void (*fn)(struct device *dev, void *arg), void *arg)
{
	for (unsigned i = 0; i < TABLE_BUCKETS; i++)
		list_for_each(it, tmp, &d->by_id[i])
		    fn(container_of(it, struct device, id_link), arg);
}

void table_each_of_domain(struct daemon *d, uint16_t domid,
                          void (*fn)(struct device *dev, void *arg), void *arg)
{
	list_for_each(it, tmp, &d->by_domain[bucket(domid, 0)])
	{
		struct device *dev = container_of(it, struct device, domain_link);
		if (dev->domid == domid)
			fn(dev, arg);
	}
}

struct search {
	pid_t pid;
	bool hit;
};

static void compare(struct device *dev, void *arg)
{
	struct search *s = arg;

	s->hit |= dev->worker.pid == s->pid;
}

bool table_has_worker(struct daemon *d, pid_t pid)
{
	struct search s = {.pid = pid};

	table_each(d, compare, &s);
	return s.hit || pid == d->xen_pid;
}
