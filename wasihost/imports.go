package wasihost

import (
	"github.com/wasmton/wasmton/wasihost/shim"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

// Modules that a guest may import from.
const (
	preview1 = "wasi_snapshot_preview1"
	decaton  = "decaton"
)

// importable is a function that a guest may import. Those that are not shimmed are
// wasmtime's own.
type importable struct {
	module, name string
	typ          shim.Type
	shimmed      bool
}

// importables are all that there are. A function is shimmed where the host
// answers, where wasmtime's own could block for ever or take time and memory beyond
// measure, or where it could undo what was granted; the others are linked as they are and cost nothing.
var importables = []importable{
	{decaton, "poll_task", "Ii>i", true},
	{decaton, "task_size", ">i", true},

	{preview1, "args_get", "ii>i", false},
	{preview1, "args_sizes_get", "ii>i", false},
	{preview1, "environ_get", "ii>i", false},
	{preview1, "environ_sizes_get", "ii>i", false},
	{preview1, "clock_res_get", "ii>i", false},
	{preview1, "clock_time_get", "iIi>i", false},
	{preview1, "fd_advise", "iIIi>i", true},
	{preview1, "fd_allocate", "iII>i", true},
	{preview1, "fd_close", "i>i", true},
	{preview1, "fd_datasync", "i>i", false},
	{preview1, "fd_fdstat_get", "ii>i", true},
	{preview1, "fd_fdstat_set_flags", "ii>i", true},
	{preview1, "fd_fdstat_set_rights", "iII>i", false},
	{preview1, "fd_filestat_get", "ii>i", true},
	{preview1, "fd_filestat_set_size", "iI>i", true},
	{preview1, "fd_filestat_set_times", "iIIi>i", true},
	{preview1, "fd_pread", "iiiIi>i", true},
	{preview1, "fd_prestat_get", "ii>i", false},
	{preview1, "fd_prestat_dir_name", "iii>i", false},
	{preview1, "fd_pwrite", "iiiIi>i", true},
	{preview1, "fd_read", "iiii>i", true},
	{preview1, "fd_readdir", "iiiIi>i", true},
	{preview1, "fd_renumber", "ii>i", true},
	{preview1, "fd_seek", "iIii>i", true},
	{preview1, "fd_sync", "i>i", false},
	{preview1, "fd_tell", "ii>i", true},
	{preview1, "fd_write", "iiii>i", true},
	{preview1, "path_create_directory", "iii>i", true},
	{preview1, "path_filestat_get", "iiiii>i", true},
	{preview1, "path_filestat_set_times", "iiiiIIi>i", true},
	{preview1, "path_link", "iiiiiii>i", true},
	{preview1, "path_open", "iiiiiIIii>i", true},
	{preview1, "path_readlink", "iiiiii>i", true},
	{preview1, "path_remove_directory", "iii>i", true},
	{preview1, "path_rename", "iiiiii>i", true},
	{preview1, "path_symlink", "iiiii>i", true},
	{preview1, "path_unlink_file", "iii>i", true},
	{preview1, "poll_oneoff", "iiii>i", true},
	{preview1, "proc_exit", "i>", true},
	{preview1, "proc_raise", "i>i", false},
	{preview1, "random_get", "ii>i", true},
	{preview1, "sched_yield", ">i", false},
	{preview1, "sock_accept", "iii>i", false},
	{preview1, "sock_recv", "iiiiii>i", true},
	{preview1, "sock_send", "iiiii>i", true},
	{preview1, "sock_shutdown", "ii>i", false},
}

// findImportable returns nil where there is no such function.
func findImportable(module, name string) *importable {
	for i := range importables {
		if importables[i].module == module && importables[i].name == name {
			return &importables[i]
		}
	}
	return nil
}

// hostFunc is a function in Go. The shim calls it, never a guest; its first
// parameter is the number of the instance.
type hostFunc struct {
	name string
	typ  shim.Type
	call func(in *Instance, args []wt.Val) (int32, error)
}

var hostFuncs = []hostFunc{
	{"drain", "i>", hostDrain},
	{"poll", "iiiiiI>i", hostPoll},
	{"stream_write", "iiiii>i", hostStreamWrite},
	{"stream_read", "iiiii>i", hostStreamRead},
	{"stream_fdstat", "iii>i", hostStreamFDStat},
	{"stream_filestat", "iii>i", hostStreamFileStat},
	{"stream_set_flags", "iii>i", hostStreamSetFlags},
	{"trace_enter", "ii>", hostTraceEnter},
	{"trace_leave", "iii>", hostTraceLeave},
}

// hostModule names the host functions in the Linker. Guests are linked by lists,
// not by names, so none can ask for them.
const hostModule = "host"

// newLinker holds wasmtime's WASI and the host functions, for all instances. The
// functions capture nothing: what a function in a Linker captures lives as long as
// the Linker does.
func newLinker(engine *wt.Engine) (*wt.Linker, error) {
	l := wt.NewLinker(engine)
	if err := l.DefineWasi(); err != nil {
		return nil, err
	}
	for _, f := range hostFuncs {
		if err := l.FuncNew(hostModule, f.name, funcType(f.typ), f.wrap()); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// wrap gives the function the binding's form. An error, or a panic, ends the guest
// and becomes what Drive returns.
func (f hostFunc) wrap() func(*wt.Caller, []wt.Val) ([]wt.Val, *wt.Trap) {
	call, results := f.call, f.typ.Results() != ""
	return func(_ *wt.Caller, args []wt.Val) (out []wt.Val, trap *wt.Trap) {
		in := lookup(uint32(args[0].I32()))
		if in == nil {
			return nil, wt.NewTrap("the instance is closed")
		}
		defer func() {
			if v := recover(); v != nil {
				in.stop = &panicError{value: v}
				out, trap = nil, wt.NewTrap("panic in the host")
			}
		}()
		result, err := call(in, args[1:])
		if err != nil {
			in.stop = err
			return nil, wt.NewTrap("stopped by the host")
		}
		if results {
			out = []wt.Val{wt.ValI32(result)}
		}
		return out, nil
	}
}

// funcType is the binding's form of a type.
func funcType(t shim.Type) *wt.FuncType {
	kinds := func(letters string) []*wt.ValType {
		var list []*wt.ValType
		for _, c := range letters {
			kind := wt.KindI32
			if c == 'I' {
				kind = wt.KindI64
			}
			list = append(list, wt.NewValType(kind))
		}
		return list
	}
	return wt.NewFuncType(kinds(t.Params()), kinds(t.Results()))
}

// nativeType and hostType tell the shim's generator what it may import.
func nativeType(name string) (shim.Type, bool) {
	if f := findImportable(preview1, name); f != nil {
		return f.typ, true
	}
	return "", false
}

func hostType(name string) (shim.Type, bool) {
	for _, f := range hostFuncs {
		if f.name == name {
			return f.typ, true
		}
	}
	return "", false
}
