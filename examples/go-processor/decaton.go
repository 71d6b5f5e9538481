//go:build wasip1

package main

import "unsafe"

// The guest's side of the decaton contract.

// taskSize returns the length of the task that waits to be polled, or -1 when
// there is none.
//
//go:wasmimport decaton task_size
func taskSize() int32

// hostPollTask copies the task to bufAddr and returns its length, or returns -1
// and keeps it when bufLen is too small.
//
//go:wasmimport decaton poll_task
func hostPollTask(bufAddr int64, bufLen int32) int32

// pollTask takes the current task, however large it is. There is one in each
// run; once it has been taken ok is false.
func pollTask() (task []byte, ok bool) {
	size := taskSize()
	if size < 0 {
		return nil, false
	}
	task = make([]byte, size)
	addr := int64(uintptr(unsafe.Pointer(unsafe.SliceData(task))))
	ok = hostPollTask(addr, size) == size
	return task, ok
}
