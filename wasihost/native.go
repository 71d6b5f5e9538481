package wasihost

// This file and native_link.go are all that speaks to the library directly; see
// native.h for why.

/*
#include "native.h"

typedef struct { void *trap; void *error; } wh_outcome;

// The Go function of epoch.go.
extern int wasmtonEpochEnded(size_t instance);

static void *wh_epoch_ended(void *context, void *data, uint64_t *delta) {
	if (wasmtonEpochEnded((size_t)data) != 0)
		return wasmtime_error_new("stopped by the host");
	*delta = 1;
	return NULL;
}

static void wh_watch(void *store, size_t instance) {
	wasmtime_store_epoch_deadline_callback(store, wh_epoch_ended, (void *)instance);
}

// wh_call calls a function that has neither parameters nor results.
static wh_outcome wh_call(void *context, wh_handle f) {
	wh_outcome out = {NULL, NULL};
	wasmtime_context_set_epoch_deadline(context, 1);
	out.error = wasmtime_func_call_unchecked(context, &f, NULL, 0, &out.trap);
	return out;
}

static int wh_trap_code(const void *trap) {
	uint8_t code;
	return wasmtime_trap_code(trap, &code) ? code : -1;
}
*/
import "C"

import (
	"unsafe"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

// pointer returns the C pointer behind one of the binding's objects: the
// unexported first field of each of its structs. The object must be kept alive as
// long as the pointer is used.
func pointer[T wt.Store | wt.Engine | wt.Linker | wt.Module](object *T) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(object))
}

// handle is an instance, a function or a memory of a store.
type handle struct {
	store uint64
	index uintptr
}

func (h handle) c() C.wh_handle {
	return C.wh_handle{store: C.uint64_t(h.store), index: C.size_t(h.index)}
}

func handleOf(h C.wh_handle) handle {
	return handle{store: uint64(h.store), index: uintptr(h.index)}
}

// outcome is how a call ended: with a trap, with an error, or with neither. The
// one who gets it frees it.
type outcome struct {
	trap, err unsafe.Pointer
}

func (o outcome) ok() bool { return o.trap == nil && o.err == nil }

func (o outcome) free() {
	if o.trap != nil {
		C.wasm_trap_delete(o.trap)
	}
	if o.err != nil {
		C.wasmtime_error_delete(o.err)
	}
}

// call calls f, with the epoch's end a tick away.
func call(context unsafe.Pointer, f handle) outcome {
	o := C.wh_call(context, f.c())
	return outcome{trap: o.trap, err: o.error}
}

// watch has epochEnded called with the number at each tick at which the store's
// guest runs, beginning with the next.
func watch(store, context unsafe.Pointer, instance uint32) {
	C.wh_watch(store, C.size_t(instance))
	C.wasmtime_context_set_epoch_deadline(context, 1)
}

func advanceEpoch(engine unsafe.Pointer) { C.wasmtime_engine_increment_epoch(engine) }

func deleteStore(store unsafe.Pointer) { C.wasmtime_store_delete(store) }

func deleteModule(module unsafe.Pointer) { C.wasmtime_module_delete(module) }

// code is the trap's code, -1 where it has none.
func (o outcome) code() int {
	if o.trap == nil {
		return -1
	}
	return int(C.wh_trap_code(o.trap))
}

// message is the library's text, backtrace included. It is cut after 64 KiB.
func (o outcome) message() string {
	var b C.wh_bytes
	switch {
	case o.trap != nil:
		C.wasm_trap_message(o.trap, &b)
	case o.err != nil:
		C.wasmtime_error_message(o.err, &b)
	default:
		return ""
	}
	defer C.wasm_byte_vec_delete(&b)
	return text(&b)
}

// frames calls yield for each frame, innermost first, until it returns false.
func (o outcome) frames(yield func(module, function string, index uint32, offset uint) bool) {
	var v C.wh_pointers
	switch {
	case o.trap != nil:
		C.wasm_trap_trace(o.trap, &v)
	case o.err != nil:
		C.wasmtime_error_wasm_trace(o.err, &v)
	default:
		return
	}
	defer C.wasm_frame_vec_delete(&v)
	for _, f := range unsafe.Slice(v.data, v.size) {
		if !yield(
			text(C.wasmtime_frame_module_name(f)), text(C.wasmtime_frame_func_name(f)),
			uint32(C.wasm_frame_func_index(f)), uint(C.wasm_frame_module_offset(f)),
		) {
			return
		}
	}
}

// maxText bounds what is copied out of a name or message.
const maxText = 64 << 10

func text(b *C.wh_bytes) string {
	if b == nil || b.size == 0 {
		return ""
	}
	return string(unsafe.Slice((*byte)(unsafe.Pointer(b.data)), min(b.size, maxText)))
}
