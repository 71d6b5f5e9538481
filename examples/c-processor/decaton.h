/* The guest's side of the decaton contract. */
#ifndef DECATON_H
#define DECATON_H

#include <stdint.h>
#include <stdlib.h>

/* Length of the task that waits to be polled, or -1 when there is none. */
__attribute__((import_module("decaton"), import_name("task_size")))
int32_t decaton_task_size(void);

/* Copies the task to buf_addr and returns its length, or returns -1 and keeps
 * it when buf_len is too small. */
__attribute__((import_module("decaton"), import_name("poll_task")))
int32_t decaton_poll_task(int64_t buf_addr, int32_t buf_len);

/* Takes the current task, however large it is, and stores its length. The
 * caller frees it. NULL: *size is -1 when there is no task (there is one in each
 * run, until it has been taken), else that many bytes could not be had. */
static inline char *take_task(int32_t *size)
{
	*size = decaton_task_size();
	if (*size < 0)
		return NULL;
	/* One byte at least: malloc(0) may return NULL, which means failure here. */
	char *task = malloc((size_t)*size + 1);
	if (task)
		*size = decaton_poll_task((int64_t)(uintptr_t)task, *size);
	return task;
}

#endif
