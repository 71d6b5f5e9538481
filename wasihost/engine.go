package wasihost

import (
	"context"
	"time"
)

// Engine compiles modules and keeps time for all instances of a process.
type Engine struct{}

// NewEngine makes the engine. A process makes one.
func NewEngine() (*Engine, error) { panic("skeleton") }

// Compile compiles a core module from its binary or its text form. name is for
// messages. The error is a *FormatError where code is not a core module.
func (e *Engine) Compile(name string, code []byte) (*Module, error) { panic("skeleton") }

// Interrupt cuts short whatever runs in any instance of the engine, within
// milliseconds; those Drives return ErrInterrupted, and so do all later ones.
func (e *Engine) Interrupt() { panic("skeleton") }

// Close frees the engine. All instances must have been closed.
func (e *Engine) Close() { panic("skeleton") }

// Module is a compiled guest. It is safe for concurrent use.
type Module struct{}

func (m *Module) Name() string               { panic("skeleton") }
func (m *Module) Digest() [32]byte           { panic("skeleton") } // SHA-256 of the binary form
func (m *Module) Size() int                  { panic("skeleton") } // bytes of the binary form
func (m *Module) CompileTime() time.Duration { panic("skeleton") }
func (m *Module) Imports() []Symbol          { panic("skeleton") }
func (m *Module) Exports() []Symbol          { panic("skeleton") }

// Check says whether the module follows the contract and whether all that it
// imports is there. The error is a *LinkError that lists every problem.
func (m *Module) Check() error { panic("skeleton") }

// CheckConfig says whether the grants can be given: directories exist, limits
// are in range. The error names the grant. It needs no module.
func (c *Config) Check() error { panic("skeleton") }

// Instantiate makes an instance, links it and calls _initialize.
func (m *Module) Instantiate(ctx context.Context, cfg *Config) (*Instance, error) { panic("skeleton") }

// Symbol is an import or an export of a module.
type Symbol struct {
	Module string // of an import; "" for an export
	Name   string
	Kind   string // func, memory, table, global
	Type   string // as text, such as (i64, i32) -> i32 or "17 pages or more"
	// Problem is "" where the host satisfies the import or has no objection to
	// the export; otherwise it says why the module would be refused.
	Problem string
}

// Instance is one guest with its own memory. It serves one goroutine at a time.
type Instance struct{}

// Drive runs tasks in order and returns how many were done. With n == len(tasks)
// the error is nil. Otherwise task n is the one that the error is about, those
// after it have not run, and the error is one of *TrapError, *ExitError,
// *ResultError, *TimeoutError (that task failed), or ErrInterrupted (ctx ended or
// Engine.Interrupt was called: it was cut short or not begun).
func (in *Instance) Drive(ctx context.Context, tasks [][]byte) (n int, err error) { panic("skeleton") }

// Alive reports whether Drive may be called again: no trap, exit or time-out yet.
func (in *Instance) Alive() bool { panic("skeleton") }

// MemoryUse returns the bytes of the guest's linear memory.
func (in *Instance) MemoryUse() int64 { panic("skeleton") }

// Close frees the instance and its memory at once. It may be called twice.
func (in *Instance) Close() { panic("skeleton") }
