package wasihost

// What the Go binding of wasmtime lacks or makes dear, by way of the C interface
// of the library that the binding links: deleting a store now rather than when the
// collector finds it, a callback at an epoch's end, a call without boxed arguments,
// and a trap's frames without its text. Everything else goes through the binding.
//
// The prototypes repeat those of the library's headers, which are not on our
// include path; opaque pointers stand for its types. They hold for wasmtime 14, to
// which the module path pins the binding.

/*
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct { size_t size; char *data; } wh_bytes;
typedef struct { size_t size; void **data; } wh_pointers;
typedef struct { uint64_t store; size_t index; } wh_func;
typedef struct { void *trap; void *error; } wh_outcome;

extern void wasmtime_store_delete(void *store);
extern void wasmtime_context_set_epoch_deadline(void *context, uint64_t ticks);
extern void wasmtime_engine_increment_epoch(void *engine);
extern void *wasmtime_func_call_unchecked(void *context, const wh_func *func, void *values, size_t n, void **trap);
extern void wasmtime_store_epoch_deadline_callback(void *store, void *(*f)(void *, void *, uint64_t *), void *data);

extern void *wasmtime_error_new(const char *text);
extern void wasmtime_error_message(const void *error, wh_bytes *out);
extern void wasmtime_error_wasm_trace(const void *error, wh_pointers *out);
extern void wasmtime_error_delete(void *error);

extern bool wasmtime_trap_code(const void *trap, uint8_t *code);
extern void wasm_trap_message(const void *trap, wh_bytes *out);
extern void wasm_trap_trace(const void *trap, wh_pointers *out);
extern void wasm_trap_delete(void *trap);

extern uint32_t wasm_frame_func_index(const void *frame);
extern size_t wasm_frame_module_offset(const void *frame);
extern const wh_bytes *wasmtime_frame_func_name(const void *frame);
extern const wh_bytes *wasmtime_frame_module_name(const void *frame);
extern void wasm_frame_vec_delete(wh_pointers *frames);
extern void wasm_byte_vec_delete(wh_bytes *bytes);

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
static wh_outcome wh_call(void *context, uint64_t store, size_t index) {
	wh_func f = {store, index};
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
// unexported first field of each of its structs.
func pointer[T wt.Store | wt.Engine | wt.Trap | wt.Error](object *T) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(object))
}

// context returns the store's context, valid until the store is deleted.
func context_(s *wt.Store) unsafe.Pointer { return unsafe.Pointer(s.Context()) }

// entry is a function without parameters and results, ready to be called.
type entry struct {
	store uint64
	index uint64
}

// entryOf takes the handle out of the binding's object, which holds nothing else.
func entryOf(f *wt.Func) entry { return *(*entry)(unsafe.Pointer(f)) }

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
func call(context unsafe.Pointer, f entry) outcome {
	o := C.wh_call(context, C.uint64_t(f.store), C.size_t(f.index))
	return outcome{trap: o.trap, err: o.error}
}

// watch has epochEnded called with the number at each tick at which the store's
// guest runs, and sets the first tick.
func watch(s *wt.Store, instance uint32) {
	C.wh_watch(pointer(s), C.size_t(instance))
	C.wasmtime_context_set_epoch_deadline(context_(s), 1)
}

func advanceEpoch(engine unsafe.Pointer) { C.wasmtime_engine_increment_epoch(engine) }

func deleteStore(store unsafe.Pointer) { C.wasmtime_store_delete(store) }

// code is the trap's code, -1 where it has none.
func (o outcome) code() int {
	if o.trap == nil {
		return -1
	}
	return int(C.wh_trap_code(o.trap))
}

// message is the library's text, backtrace included: of a deep stack, a megabyte.
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
