package wasihost

import (
	"errors"
	"time"
)

// ErrInterrupted is what Drive returns when its context ended or the engine was
// interrupted.
var ErrInterrupted = errors.New("interrupted")

// FormatError says that code is not a core WebAssembly module.
type FormatError struct {
	Name   string
	Reason string
}

func (e *FormatError) Error() string { return e.Name + ": " + e.Reason }

// LinkError lists all that stands between a module and the contract.
type LinkError struct {
	Name     string
	Problems []string
}

func (e *LinkError) Error() string { panic("skeleton") }

// TrapError is a guest that trapped.
type TrapError struct {
	Reason    string  // what happened, such as "unreachable instruction executed"
	Backtrace []Frame // innermost first, the shim's own frames left out, at most 64
	Memory    int64   // the guest's linear memory in bytes when it trapped
	Limit     int64   // its limit
}

func (e *TrapError) Error() string { panic("skeleton") }

// TimeoutError is a task that ran longer than Config.TaskTimeout.
type TimeoutError struct {
	Limit     time.Duration
	Backtrace []Frame
}

func (e *TimeoutError) Error() string { panic("skeleton") }

// ExitError is a guest that called proc_exit, with status 0 too: a processor
// returns from run.
type ExitError struct{ Status int32 }

func (e *ExitError) Error() string { panic("skeleton") }

// ResultError is a run that returned another value than 0. The instance lives.
type ResultError struct{ Code int32 }

func (e *ResultError) Error() string { panic("skeleton") }

// Frame is one function of a Wasm backtrace.
type Frame struct {
	Func   string // from the name section, demangled as far as it can be; "" if unknown
	Index  uint32 // function index
	Offset uint   // byte offset in the module
}
