/* SPDX-License-Identifier: MIT */
#include "tests/system/seat/tools/seat_link.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/seat_message.h"

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int seat_link_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	for (int tries = 0; connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0;
	     tries++) {
		if ((errno != ENOENT && errno != ECONNREFUSED) || tries == 400)
			err(1, "%s", path);
		usleep(50000);
	}
	return fd;
}

char *seat_link_command(int seat, const char *json, int fd, int *answer_fd)
{
	union control control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				      .cmsg_level = SOL_SOCKET,
				      .cmsg_type = SCM_RIGHTS } };
	struct iovec piece = { (void *)json, strlen(json) };
	struct msghdr packet = { .msg_iov = &piece, .msg_iovlen = 1 };
	char *answer = malloc(SEAT_COMMAND_MAX + 1);

	if (!answer)
		err(1, "answer");
	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		packet.msg_control = &control;
		packet.msg_controllen = sizeof(control);
	}
	if (sendmsg(seat, &packet, MSG_NOSIGNAL) < 0)
		err(1, "the seat does not take '%s'", json);

	memset(&control, 0, sizeof(control));
	piece = (struct iovec){ answer, SEAT_COMMAND_MAX };
	packet.msg_control = &control;
	packet.msg_controllen = sizeof(control);
	ssize_t size = recvmsg(seat, &packet, MSG_CMSG_CLOEXEC);
	if (size <= 0)
		err(1, "the seat does not answer '%s'", json);
	answer[size] = '\0';
	fd = -1;
	if (packet.msg_controllen >= CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	if (answer_fd)
		*answer_fd = fd;
	else if (fd >= 0)
		close(fd);
	return answer;
}

int seat_link_add(const char *path, const char *guest, unsigned device, const char *kind, int type)
{
	char json[512];
	int pair[2];
	int seat = seat_link_connect(path);

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
		err(1, "socketpair");
	snprintf(json, sizeof(json),
	    "{\"command\":\"add\",\"guest\":\"%s\",\"domain\":1,\"device\":%u,\"kind\":\"%s\"}",
	    guest, device, kind);
	char *answer = seat_link_command(seat, json, pair[0], NULL);
	if (!strstr(answer, "\"ok\":true") && !strstr(answer, "\"ok\": true"))
		errx(1, "the seat refuses %s: %s", json, answer);
	free(answer);
	close(pair[0]);
	close(seat);
	return pair[1];
}
