/* SPDX-License-Identifier: MIT */
/* vhost-user front end: from the first question to a back end to the last answer before it can
 * serve. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/frontend_private.h"

#define F(feature) FRONTEND_PROTOCOL(feature)
#define PROTOCOL_NEEDED (F(XEN_MMAP) | F(CONFIG))
#define PROTOCOL_WANTED                                                                          \
	(PROTOCOL_NEEDED | F(MQ) | F(REPLY_ACK) | F(BACKEND_REQ) | F(STATUS) | F(RESET_DEVICE) | \
	    F(INFLIGHT_SHMFD))

/* The channel for the back end's own requests; without it there are no configuration changes. */
static void frontend_open_backend_channel(struct frontend *frontend)
{
	struct command *command;
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		frontend_fail(frontend, -errno);
		return;
	}
	frontend->backend_socket = pair[0];
	error = frontend_watch_backend_channel(frontend, pair[0]);
	command = error < 0 ? NULL
			    : frontend_tell(
				  frontend, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, pair[1], -1);
	if (!command) {
		close(pair[1]);
		frontend_fail(frontend, error < 0 ? error : -ENOMEM);
		return;
	}
	command->own_fd = pair[1];
}

struct command *frontend_send_memory(struct frontend *frontend, int fd)
{
	const struct memory_region *memory = &frontend->options.memory;
	struct vhost_user_mem_table table = { .region_count = 1 };

	table.xen_regions[0] = (struct vhost_user_xen_region){
		.region = {
			.guest_address = memory->guest_address,
			.size = memory->size,
			.user_address = memory->user_address,
			.mmap_offset = memory->mmap_offset,
		},
		.xen_flags = memory->xen_flags,
		.xen_domid = memory->xen_domid,
	};
	return frontend_tell(frontend, VHOST_USER_SET_MEM_TABLE, &table,
	    offsetof(struct vhost_user_mem_table, xen_regions[1]), fd, -1);
}

/* ------------------------------------------------- requests in flight: the file */

static struct command *frontend_tell_inflight(struct frontend *frontend, int fd)
{
	const struct vhost_user_inflight inflight = {
		.mmap_size = frontend->state->inflight_size,
		.mmap_offset = frontend->state->inflight_offset,
		.queue_count = frontend->state->inflight_queues,
		.queue_size = frontend->state->inflight_queue_size,
	};

	return frontend_tell(
	    frontend, VHOST_USER_SET_INFLIGHT_FD, &inflight, sizeof(inflight), fd, -1);
}

static int frontend_answer_inflight(struct frontend *frontend, struct vhost_user_message *reply)
{
	const struct vhost_user_inflight *inflight = &reply->payload.inflight;

	if (reply->size < offsetof(struct vhost_user_inflight, padding) || !inflight->mmap_size ||
	    reply->fd_count != 1)
		return -EPROTO;
	frontend->inflight_fd = vhost_user_message_take_fd(reply, 0);
	frontend->state->inflight_offset = inflight->mmap_offset;
	frontend->state->inflight_queues = inflight->queue_count;
	frontend->state->inflight_queue_size = inflight->queue_size;
	frontend->state->inflight_size = inflight->mmap_size;
	frontend_tell_inflight(frontend, frontend->inflight_fd);
	frontend_get_config(frontend, frontend_handshaken, frontend);
	frontend_pump(frontend);
	return 0;
}

static void frontend_ask_inflight(struct frontend *frontend)
{
	const struct vhost_user_inflight wanted = {
		.queue_count = (uint16_t)frontend->options.queues,
		.queue_size = frontend->options.queue_size,
	};

	frontend->state->inflight_size = 0;
	frontend_ask(frontend, VHOST_USER_GET_INFLIGHT_FD, &wanted, sizeof(wanted),
	    frontend_answer_inflight, NULL, NULL);
}

static void frontend_inflight_taken(void *data)
{
	struct frontend *frontend = data;

	frontend->restored = true;
	frontend_get_config(frontend, frontend_handshaken, frontend);
	frontend_pump(frontend);
}

static void frontend_inflight_refused(struct frontend *frontend)
{
	log_guest(frontend->options.limit,
	    "%s: the worker can make nothing of what its predecessor has left",
	    frontend->options.name);
	frontend_ask_inflight(frontend);
	frontend_pump(frontend);
}

/* A dead back end's file: the new one goes on with it, or says that it cannot. */
static void frontend_offer_inflight(struct frontend *frontend)
{
	struct command *command = frontend_tell_inflight(frontend, frontend->options.inflight_fd);

	if (!command)
		return;
	command->refused = frontend_inflight_refused;
	command->done = frontend_inflight_taken;
	command->done_data = frontend;
}

static int frontend_answer_queue_num(struct frontend *frontend, struct vhost_user_message *reply)
{
	if (reply->size != sizeof(reply->payload.u64))
		return -EPROTO;
	if (reply->payload.u64 < frontend->options.queues) {
		log_error("%s: the worker has %llu queues, %u are needed", frontend->options.name,
		    (unsigned long long)reply->payload.u64, frontend->options.queues);
		return -ENOTSUP;
	}
	return 0;
}

static int frontend_answer_protocol_features(
    struct frontend *frontend, struct vhost_user_message *reply)
{
	uint64_t offered = reply->payload.u64;

	if (reply->size != sizeof(offered))
		return -EPROTO;
	if (PROTOCOL_NEEDED & ~offered) {
		log_error("%s: the worker lacks vhost-user protocol features %#llx (XEN_MMAP, "
			  "CONFIG): it is not made for Xen",
		    frontend->options.name, (unsigned long long)(PROTOCOL_NEEDED & ~offered));
		return -ENOTSUP;
	}
	offered &= PROTOCOL_WANTED;
	if (!(offered & F(REPLY_ACK)))
		offered &= ~F(INFLIGHT_SHMFD); /* a refusal must be heard */
	frontend_tell_u64(frontend, VHOST_USER_SET_PROTOCOL_FEATURES, offered);
	frontend->state->protocol_features = offered;
	frontend_tell(frontend, VHOST_USER_SET_OWNER, NULL, 0, -1, -1);
	if (offered & F(MQ))
		frontend_ask(frontend, VHOST_USER_GET_QUEUE_NUM, NULL, 0, frontend_answer_queue_num,
		    NULL, NULL);
	if (offered & F(BACKEND_REQ))
		frontend_open_backend_channel(frontend);
	frontend_send_memory(frontend, frontend->options.memory_fd);
	if (!(offered & F(INFLIGHT_SHMFD)))
		frontend_get_config(frontend, frontend_handshaken, frontend);
	else if (frontend->options.inflight_fd >= 0)
		frontend_offer_inflight(frontend);
	else
		frontend_ask_inflight(frontend);
	frontend_pump(frontend);
	return 0;
}

static int frontend_answer_features(struct frontend *frontend, struct vhost_user_message *reply)
{
	if (reply->size != sizeof(reply->payload.u64) ||
	    !(reply->payload.u64 & (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)))
		return -EPROTO;
	frontend->state->features =
	    reply->payload.u64 & ~(UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES);
	frontend_ask(frontend, VHOST_USER_GET_PROTOCOL_FEATURES, NULL, 0,
	    frontend_answer_protocol_features, NULL, NULL);
	frontend_pump(frontend);
	return 0;
}

void frontend_begin_handshake(struct frontend *frontend)
{
	frontend_ask(
	    frontend, VHOST_USER_GET_FEATURES, NULL, 0, frontend_answer_features, NULL, NULL);
	frontend_pump(frontend);
}
