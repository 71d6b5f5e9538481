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
}

const notTerminal = -1

// errnos of WASI preview 1 that the shim answers with.
const (
	errnoSuccess     = 0
	errnoAcces       = 2
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
	"fd_pread":                {terminal: errnoSpipe},
	"fd_pwrite":               {terminal: errnoSpipe, readOnly: []int{0}},
	"fd_readdir":              {terminal: errnoNotdir},
	"fd_seek":                 {terminal: errnoSpipe},
	"fd_tell":                 {terminal: errnoSpipe},
	"path_create_directory":   {terminal: notTerminal, readOnly: []int{0}},
	"path_filestat_set_times": {terminal: notTerminal, readOnly: []int{0}},
	"path_link":               {terminal: notTerminal, readOnly: []int{0, 4}},
	"path_remove_directory":   {terminal: notTerminal, readOnly: []int{0}},
	"path_rename":             {terminal: notTerminal, readOnly: []int{0, 3}},
	"path_symlink":            {terminal: notTerminal, readOnly: []int{2}},
	"path_unlink_file":        {terminal: notTerminal, readOnly: []int{0}},
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
	fmt.Fprintf(&b, "  (call $native_%s%s))\n", name, t.forward())
	return b.String()
}
