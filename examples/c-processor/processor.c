/* A wasmton processor. A task is JSON such as {"message": "hello"}; its message
 * becomes a line of the file /messages. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "decaton.h"
#include "json.h"

static bool write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static bool append_message(char *task, size_t size)
{
	char *message;
	size_t len;
	const char *error = json_string_member(task, size, "message", &message, &len);
	if (error) {
		fprintf(stderr, "bad task: \"message\": %s\n", error);
		return false;
	}

	/* One write, since the other partitions' instances append to the same file:
	 * in two, another's message could come between a message and its line end.
	 * There is room: the string's closing quote stood behind the message. */
	message[len] = '\n';
	int fd = open("/messages", O_WRONLY | O_APPEND | O_CREAT, 0644);
	bool ok = fd >= 0 && write_all(fd, message, len + 1);
	if (!ok)
		fprintf(stderr, "can't append to /messages (granted with --dir?): %s\n", strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Processes one task: 0 when it is done, anything else when it failed. What goes
 * to standard error becomes a log line with the task's topic, partition and
 * offset. */
__attribute__((export_name("run")))
int run(void)
{
	int32_t size;
	char *task = take_task(&size);
	if (!task) {
		if (size < 0)
			return 0;
		fprintf(stderr, "no memory for a task of %d bytes\n", (int)size);
		return 1;
	}
	bool ok = append_message(task, (size_t)size);
	free(task);
	return ok ? 0 : 1;
}
