// What the Go binding of wasmtime lacks or makes dear, by way of the C interface of
// the library that the binding links: deleting a store or a module now rather
// than when the collector finds it, a callback at an epoch's end, a call without boxed arguments,
// linking without an object with a finalizer for each import, and a trap's frames
// without its text. Everything else goes through the binding.
//
// The prototypes repeat those of the library's headers, which are not on our include
// path; opaque pointers stand for its types. They hold for wasmtime 14, to which the
// binding's module path pins it.

#ifndef WASMTON_WASIHOST_NATIVE_H
#define WASMTON_WASIHOST_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct { size_t size; char *data; } wh_bytes;
typedef struct { size_t size; void **data; } wh_pointers;

// An instance, a function or a memory of a store.
typedef struct { uint64_t store; size_t index; } wh_handle;

// Anything that can be imported. Kinds: 0 function, 1 global, 2 table, 3 memory.
typedef struct { uint8_t kind; wh_handle of; } wh_extern;

extern void wasmtime_store_delete(void *store);
extern void wasmtime_module_delete(void *module);
extern void wasmtime_context_set_epoch_deadline(void *context, uint64_t ticks);
extern void wasmtime_store_epoch_deadline_callback(void *store, void *(*f)(void *, void *, uint64_t *), void *data);
extern void wasmtime_engine_increment_epoch(void *engine);
extern void *wasmtime_func_call_unchecked(void *context, const wh_handle *func, void *values, size_t n, void **trap);

extern bool wasmtime_linker_get(const void *linker, void *context, const char *module, size_t module_len, const char *name, size_t name_len, wh_extern *out);
extern void *wasmtime_instance_new(void *context, const void *module, const wh_extern *imports, size_t n, wh_handle *out, void **trap);
extern bool wasmtime_instance_export_get(void *context, const wh_handle *instance, const char *name, size_t len, wh_extern *out);
extern bool wasmtime_instance_export_nth(void *context, const wh_handle *instance, size_t n, char **name, size_t *len, wh_extern *out);

extern uint8_t *wasmtime_memory_data(const void *context, const wh_handle *memory);
extern size_t wasmtime_memory_data_size(const void *context, const wh_handle *memory);
extern void *wasmtime_memory_grow(void *context, const wh_handle *memory, uint64_t pages, uint64_t *before);

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

#endif
