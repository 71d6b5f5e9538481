package wasihost

import "C"

// wasmtonEpochEnded is called by the library, on the goroutine that runs the
// guest, when a tick has passed. A result other than 0 ends the guest.
//
//export wasmtonEpochEnded
func wasmtonEpochEnded(instance C.size_t) (stop C.int) {
	in := lookup(uint32(instance))
	if in == nil || in.epochEnded() {
		return 1
	}
	return 0
}
