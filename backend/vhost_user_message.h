/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user messages as they are on the wire (the protocol's document in
 * QEMU's docs/interop/vhost-user.rst, names and numbers from there), and a codec
 * for both sides: the back end (vhost_user.c) and our front ends (gpudomd, the
 * loopback guest).
 *
 * All numbers are in native byte order. Neither function ever blocks, raises
 * SIGPIPE, or leaks a descriptor.
 */
#ifndef GPUDOM_BACKEND_VHOST_USER_MESSAGE_H
#define GPUDOM_BACKEND_VHOST_USER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHOST_USER_VERSION 0x1
#define VHOST_USER_VERSION_MASK 0x3
#define VHOST_USER_REPLY (1u << 2)
#define VHOST_USER_NEED_REPLY (1u << 3)

#define VHOST_USER_HEADER_SIZE 12
#define VHOST_USER_REGIONS_MAX 8    /* of one SET_MEM_TABLE */
#define VHOST_USER_FDS_MAX 8        /* of one message */
#define VHOST_USER_CONFIG_MAX 256   /* bytes of configuration space in one message */
#define VHOST_USER_MEM_SLOTS 509    /* regions at once, by ADD_MEM_REG (as KVM has) */
#define VHOST_USER_VRING_INDEX 0xff /* of the u64 of SET_VRING_KICK, CALL and ERR */
#define VHOST_USER_VRING_NOFD (1u << 8)

/* A feature bit that virtio leaves unused: "protocol features exist" */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

enum vhost_user_protocol_feature {
	VHOST_USER_PROTOCOL_F_MQ = 0,
	VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_USER_PROTOCOL_F_RARP = 2,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_F_MTU = 4,
	VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
	VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
	VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
	VHOST_USER_PROTOCOL_F_CONFIG = 9,
	VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
	VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PROTOCOL_F_STATUS = 16,
	VHOST_USER_PROTOCOL_F_XEN_MMAP = 17,
};

/* Front end to back end */
enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_GPU_SET_SOCKET = 33,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
};

/* Back end to front end, on the socket of SET_BACKEND_REQ_FD */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
};

struct vhost_user_vring_state {
	uint32_t index, num;
};

struct vhost_user_vring_addr {
	uint32_t index, flags;
	/* Ring addresses: the front end's (user addresses), or with grants bus addresses */
	uint64_t descriptor, used, available;
	uint64_t log;
};

struct vhost_user_region {
	uint64_t guest_address, size, user_address, mmap_offset;
};

/* "When the VHOST_USER_PROTOCOL_F_XEN_MMAP protocol feature has been successfully
 * negotiated, the memory region description contains two extra fields at the end." */
struct vhost_user_xen_region {
	struct vhost_user_region region;
	uint32_t xen_flags; /* MEMORY_XEN_* (memory.h) */
	uint32_t xen_domid;
};

/* SET_MEM_TABLE; the payload ends with the last region */
struct vhost_user_mem_table {
	uint32_t region_count, padding;
	union {
		struct vhost_user_region regions[VHOST_USER_REGIONS_MAX];
		struct vhost_user_xen_region xen_regions[VHOST_USER_REGIONS_MAX];
	};
};

/* ADD_MEM_REG, REM_MEM_REG: 40 bytes, with XEN_MMAP 48 */
struct vhost_user_mem_reg {
	uint64_t padding;
	union {
		struct vhost_user_region region;
		struct vhost_user_xen_region xen_region;
	};
};

/* GET_CONFIG, SET_CONFIG; the payload ends after size bytes of @bytes */
struct vhost_user_config {
	uint32_t offset, size, flags;
	uint8_t bytes[VHOST_USER_CONFIG_MAX];
};
#define VHOST_USER_CONFIG_HEADER_SIZE 12

struct vhost_user_inflight {
	uint64_t mmap_size, mmap_offset;
	uint16_t queue_count, queue_size;
	uint32_t padding; /* QEMU sends and expects it: a payload of 24 bytes */
};

union vhost_user_payload {
	uint64_t u64;
	struct vhost_user_vring_state state;
	struct vhost_user_vring_addr addr;
	struct vhost_user_mem_table memory;
	struct vhost_user_mem_reg memory_region;
	struct vhost_user_config config;
	struct vhost_user_inflight inflight;
	uint8_t bytes[sizeof(struct vhost_user_mem_table)];
};

struct vhost_user_message {
	uint32_t request;
	uint32_t flags; /* the version, VHOST_USER_REPLY, VHOST_USER_NEED_REPLY */
	uint32_t size;  /* bytes of the payload */
	unsigned fd_count;
	union vhost_user_payload payload;
	int fds[VHOST_USER_FDS_MAX]; /* -1: taken */
};

/* The name of a front end's request, for people; "unknown" where there is none. */
const char *vhost_user_request_name(uint32_t request);

/*
 * Sends a whole message (the version is added to its flags); its descriptors stay
 * the caller's. -EAGAIN: the peer does not read, nothing was sent; -ENOTCONN: it
 * is gone; else sendmsg(2)'s errors.
 */
int vhost_user_send(int socket, const struct vhost_user_message *message);

/* Takes over descriptor @index of a received message; -1 where there is none. */
int vhost_user_message_take_fd(struct vhost_user_message *message, unsigned index);

/* Closes the descriptors that were not taken. */
void vhost_user_message_finish(struct vhost_user_message *message);

/* Puts messages together from a stream socket. */
struct vhost_user_receiver {
	int socket; /* not owned */
	/* Set by who receives: no message has descriptors; one that does is malformed, and the
	 * kernel drops them before they are ours. (Closing a GPU's can wait for its work.) */
	bool no_fds;
	size_t received; /* bytes of @message, header included */
	struct vhost_user_message message;
};

void vhost_user_receiver_init(struct vhost_user_receiver *receiver, int socket);

/* Closes the descriptors of a message that has not come to its end. */
void vhost_user_receiver_finish(struct vhost_user_receiver *receiver);

/*
 * 1: *message is whole; its descriptors are the caller's, who calls
 * vhost_user_message_finish(). 0: the rest has not come yet. -ENOTCONN: the peer is
 * gone (a message that was cut off is dropped). -EPROTO: another version, a payload
 * larger than any, or more than VHOST_USER_FDS_MAX descriptors; the stream is of no
 * use from then on. Payload bytes beyond message->size are zero.
 *
 * A message that was sent whole is taken in one call, descriptors and all: a process that is
 * killed at any moment leaves the stream at the beginning of a message, where another
 * that has the socket goes on.
 */
int vhost_user_receive(struct vhost_user_receiver *receiver, struct vhost_user_message *message);

#endif
