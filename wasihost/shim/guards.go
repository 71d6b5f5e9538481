package shim

import (
	"fmt"
	"strings"
)

// A guard stands before a native function: it refuses what may not be done to a
// read-only descriptor, and answers for a captured stream as a terminal would.
// It is for calls whose answers need no more than an errno.
type guard struct {
	// readOnly are the parameters that hold descriptors which must be writable.
	readOnly []int
	// terminal is the errno for a captured stream in parameter 0; notTerminal
	// where the native answer is right.
	terminal int
	// vectors is the parameter that points to a list of buffers, the one after it
	// being their number; 0 where there is none. More than maxVectors are not
	// looked at, as if the file had taken or given no more.
	vectors int
	// paths are the parameters that point to a path, its length following each.
	// Paths over maxPath are refused, as any kernel does.
	paths []int
}

// The native functions see to neither of these, and nothing can interrupt them.
// Finding out whether buffers overlap takes them time in the square of the number
// of buffers: 40,000 take a second, a million some ten minutes. They copy a path
// before the kernel refuses it, out of memory that no limit of the guest's counts.
const (
	maxVectors = 1024 // IOV_MAX of Linux and of wasi-libc
	maxPath    = 4096 // PATH_MAX of Linux

	// maxSubscriptions bounds a poll: more than one for each way to wait for each
	// descriptor make no sense.
	maxSubscriptions = 4096
	// maxRandom is the bytes that the native function is asked for at a time.
	maxRandom = 1 << 16
)

const notTerminal = -1

// errnos of WASI preview 1 that the shim answers with.
const (
	errnoSuccess     = 0
	errnoAcces       = 2
	errnoBadf        = 8
	errnoInval       = 28
	errnoMfile       = 33
	errnoNametoolong = 37
	errnoNodev       = 43
	errnoNoent       = 44
	errnoNotdir      = 54
	errnoRofs        = 69
	errnoSpipe       = 70
)

var guards = map[string]guard{
	"fd_advise":               {terminal: errnoSuccess},
	"fd_allocate":             {terminal: errnoNodev, readOnly: []int{0}},
	"fd_fdstat_set_flags":     {terminal: errnoSuccess},
	"fd_filestat_set_size":    {terminal: errnoInval, readOnly: []int{0}},
	"fd_filestat_set_times":   {terminal: errnoSuccess, readOnly: []int{0}},
	"fd_pread":                {terminal: errnoSpipe, vectors: 1},
	"fd_pwrite":               {terminal: errnoSpipe, readOnly: []int{0}, vectors: 1},
	"fd_read":                 {terminal: notTerminal, vectors: 1},
	"fd_readdir":              {terminal: errnoNotdir},
	"fd_seek":                 {terminal: errnoSpipe},
	"fd_tell":                 {terminal: errnoSpipe},
	"path_create_directory":   {terminal: notTerminal, readOnly: []int{0}, paths: []int{1}},
	"path_filestat_get":       {terminal: notTerminal, paths: []int{2}},
	"path_filestat_set_times": {terminal: notTerminal, readOnly: []int{0}, paths: []int{2}},
	"path_link":               {terminal: notTerminal, readOnly: []int{0, 4}, paths: []int{2, 5}},
	"path_readlink":           {terminal: notTerminal, paths: []int{1}},
	"path_remove_directory":   {terminal: notTerminal, readOnly: []int{0}, paths: []int{1}},
	"path_rename":             {terminal: notTerminal, readOnly: []int{0, 3}, paths: []int{1, 4}},
	"path_symlink":            {terminal: notTerminal, readOnly: []int{2}, paths: []int{0, 3}},
	"path_unlink_file":        {terminal: notTerminal, readOnly: []int{0}, paths: []int{1}},
	"sock_recv":               {terminal: notTerminal, vectors: 1},
	"sock_send":               {terminal: notTerminal, vectors: 1},
}

// function is the guard's text, in the form of a function of calls.wat.
func (g guard) function(name string, t Type) string {
	var b strings.Builder
	fmt.Fprintf(&b, "(func $%s%s\n", name, t.wat())
	if g.terminal != notTerminal {
		fmt.Fprintf(&b, "  (if (call $fd_captured (local.get 0)) (then (return (i32.const %d))))\n", g.terminal)
	}
	for _, p := range g.readOnly {
		fmt.Fprintf(&b, "  (if (call $fd_readonly (local.get %d)) (then (return (i32.const %d))))\n", p, errnoRofs)
	}
	if p := g.vectors; p > 0 {
		fmt.Fprintf(&b, "  (local.set %d (call $vectors (i32.const %%call:%s%%) (local.get %d) (local.get %[1]d)))\n", p+1, name, p)
	}
	for _, p := range g.paths {
		fmt.Fprintf(&b, "  (if (call $long_path (i32.const %%call:%s%%) (local.get %d) (local.get %d)) (then (return (i32.const %d))))\n",
			name, p, p+1, errnoNametoolong)
	}
	fmt.Fprintf(&b, "  (call $native_%s%s))\n", name, t.forward())
	return b.String()
}
