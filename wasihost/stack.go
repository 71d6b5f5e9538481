package wasihost

/*
#include <pthread.h>

// wh_thread_stack is the stack of the threads that run guests, 0 where it cannot be
// told. On macOS such threads take after the main one, not after the attributes.
static size_t wh_thread_stack(void) {
	size_t size = 0;
#ifndef __APPLE__
	pthread_attr_t attributes;
	if (pthread_attr_init(&attributes) != 0)
		return 0;
	if (pthread_attr_getstacksize(&attributes, &size) != 0)
		size = 0;
	pthread_attr_destroy(&attributes);
#endif
	return size;
}
*/
import "C"

import (
	"fmt"
	"syscall"
)

// Bounds of EngineConfig.StackLimit.
const (
	minStack     = 64 << 10
	maxStack     = 4 << 20
	defaultStack = 1 << 20
)

// stackLimit returns the limit that was asked for, or the default for 0.
func stackLimit(asked int64) (int64, error) {
	return stackWithin(asked, threadStack())
}

// stackWithin is stackLimit for threads with a stack of some bytes, 0 if unknown.
// Half of that is left to the host: where a guest may use more than is there, the
// kernel ends the process instead of the engine trapping the guest.
func stackWithin(asked, thread int64) (int64, error) {
	most := int64(maxStack)
	if thread > 0 {
		most = min(most, thread/2)
	}
	switch {
	case asked == 0:
		return max(min(defaultStack, most), minStack), nil
	case asked < minStack || asked > maxStack:
		return 0, fmt.Errorf("stack limit of %s: it must be between 64 KiB and 4 MiB", bytesText(asked))
	case asked > most:
		return 0, fmt.Errorf("stack limit of %s: it must be at most half of a thread's stack, which is %s here (ulimit -s sets it)",
			bytesText(asked), bytesText(thread))
	}
	return asked, nil
}

// threadStack is the stack of a thread in bytes, 0 if unknown. An unlimited one is
// not boundless: the C library then has a size of its own for threads.
func threadStack() int64 {
	size := int64(C.wh_thread_stack())
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_STACK, &r); err == nil && r.Cur < 1<<40 {
		if limit := int64(r.Cur); size == 0 || limit < size {
			size = limit
		}
	}
	return size
}
