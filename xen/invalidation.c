/* SPDX-License-Identifier: MIT */
#include "xen/invalidation.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/diagnose.h"
#include "xen/foreign.h"

struct invalidation {
	struct invalidation *next;
	frontend_done done;
	void *data;
};

static void invalidations_take_first(struct invalidations *invalidations)
{
	struct invalidation *first = invalidations->first;

	invalidations->first = first->next;
	first->done(first->data);
	free(first);
}

/* Answers come in the order of the questions. */
static void invalidations_answered(void *data)
{
	invalidations_take_first(data);
}

bool invalidations_begin(struct invalidations *invalidations, struct frontend *frontend,
    uint16_t domid, const char *name, frontend_done done, void *data)
{
	struct invalidation *new = malloc(sizeof(*new)), **link = &invalidations->first;
	int fd = foreign_open(domid);

	if (!new || fd < 0) {
		log_error("%s: cannot tell the worker that the guest gives pages back: %s. %s",
		    name, new ? strerror(-fd) : "out of memory",
		    new ? diagnose(DIAGNOSE_FOREIGN_DEVICE, fd) : "");
		if (fd >= 0)
			close(fd);
		free(new);
		return false;
	}
	*new = (struct invalidation){ .done = done, .data = data };
	while (*link)
		link = &(*link)->next;
	*link = new;
	frontend_invalidate(frontend, fd, invalidations_answered, invalidations);
	return true;
}

void invalidations_end(struct invalidations *invalidations)
{
	while (invalidations->first)
		invalidations_take_first(invalidations);
}
