package wasihost

/*
#include "native.h"

// Where an import comes from, as sourceKind of native_link.go numbers it. name and
// len select a name in a text that the list goes with.
typedef struct { uint32_t kind, name, len, nth; } wh_source;

typedef struct { wh_handle instance; void *trap; void *error; size_t missing; } wh_made;

static bool wh_find(void *context, const void *linker, const char *names, const wh_source *s,
                    wh_handle front, wh_handle guest, wh_extern *out) {
	char *ignored;
	size_t length;
	switch (s->kind) {
	case 0:
		return wasmtime_linker_get(linker, context, "wasi_snapshot_preview1", 22, names + s->name, s->len, out);
	case 1:
		return wasmtime_linker_get(linker, context, "host", 4, names + s->name, s->len, out);
	case 2:
		return wasmtime_instance_export_nth(context, &front, s->nth, &ignored, &length, out);
	default:
		return wasmtime_instance_export_get(context, &guest, names + s->name, s->len, out);
	}
}

static wh_made wh_instantiate(void *context, const void *module, const void *linker, const char *names,
                              const wh_source *sources, size_t n, wh_handle front, wh_handle guest) {
	wh_made made = {{0, 0}, NULL, NULL, 0};
	wh_extern *imports = calloc(n + 1, sizeof *imports);
	if (imports == NULL) {
		made.error = wasmtime_error_new("out of memory");
		return made;
	}
	for (size_t i = 0; i < n && made.missing == 0; i++)
		if (!wh_find(context, linker, names, &sources[i], front, guest, &imports[i]))
			made.missing = i + 1;
	if (made.missing == 0)
		made.error = wasmtime_instance_new(context, module, imports, n, &made.instance, &made.trap);
	free(imports);
	return made;
}

static wh_handle wh_export(void *context, wh_handle instance, const char *name, size_t len) {
	wh_extern found = {0, {0, 0}};
	wasmtime_instance_export_get(context, &instance, name, len, &found);
	return found.of;
}

static void *wh_data(const void *context, wh_handle memory) { return wasmtime_memory_data(context, &memory); }

static size_t wh_size(const void *context, wh_handle memory) { return wasmtime_memory_data_size(context, &memory); }

static void *wh_grow(void *context, wh_handle memory, uint64_t pages) {
	uint64_t before;
	return wasmtime_memory_grow(context, &memory, pages, &before);
}
*/
import "C"

import (
	"unsafe"
)

// sourceKind says where an import comes from.
type sourceKind uint32

const (
	fromWASI  sourceKind = iota // wasmtime's function of that name
	fromHost                    // the function of that name in hostFuncs
	fromFront                   // the nth export of the shim's front
	fromGuest                   // the guest's export of that name
)

// source is where one import comes from.
type source struct {
	kind      sourceKind
	name, len uint32 // in the names of the sources
	nth       uint32
}

// sources are what a module's imports are satisfied with, in their order. The names
// stand in one text, so that nothing in them points to Go memory.
type sources struct {
	names []byte
	list  []source
}

func (s *sources) add(kind sourceKind, name string) {
	s.list = append(s.list, source{kind: kind, name: uint32(len(s.names)), len: uint32(len(name))})
	s.names = append(s.names, name...)
}

func (s *sources) addFront(nth int) {
	s.list = append(s.list, source{kind: fromFront, nth: uint32(nth)})
}

// instantiate makes an instance of a module. missing is 0, or the number of an
// import, from 1, that its source does not have.
func instantiate(context, module, linker unsafe.Pointer, s *sources, front, guest handle) (instance handle, o outcome, missing int) {
	made := C.wh_instantiate(context, module, linker,
		(*C.char)(unsafe.Pointer(unsafe.SliceData(s.names))),
		(*C.wh_source)(unsafe.Pointer(unsafe.SliceData(s.list))), C.size_t(len(s.list)),
		front.c(), guest.c())
	return handleOf(made.instance), outcome{trap: made.trap, err: made.error}, int(made.missing)
}

// export returns an instance's export, which must be there.
func export(context unsafe.Pointer, instance handle, name string) handle {
	return handleOf(C.wh_export(context, instance.c(),
		(*C.char)(unsafe.Pointer(unsafe.StringData(name))), C.size_t(len(name))))
}

// view is a memory as it is now. It is valid until the memory grows or the store is
// deleted.
func view(context unsafe.Pointer, memory handle) []byte {
	return unsafe.Slice((*byte)(C.wh_data(context, memory.c())), memorySize(context, memory))
}

func memorySize(context unsafe.Pointer, memory handle) int64 {
	return int64(C.wh_size(context, memory.c()))
}

// growMemory grows a memory by some pages of 64 KiB.
func growMemory(context unsafe.Pointer, memory handle, pages uint64) outcome {
	return outcome{err: C.wh_grow(context, memory.c(), C.uint64_t(pages))}
}
