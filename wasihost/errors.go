package wasihost

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrInterrupted is what Drive returns when its context ended or the engine was
// interrupted.
var ErrInterrupted = errors.New("interrupted")

// ErrDead is what Drive returns for an instance that is closed, or whose guest
// trapped, exited or was stopped before.
var ErrDead = errors.New("the instance is dead: close it and make another")

// ErrOutgrown is what Drive returns where tasks are left and the guest's memory has
// grown past Config.MemoryMark. The instance lives; each further Drive runs one task.
var ErrOutgrown = errors.New("the guest's memory has grown past its mark")

// FormatError says that code is not a core WebAssembly module.
type FormatError struct {
	Name   string
	Reason string
}

// Error gives the name and the reason.
func (e *FormatError) Error() string { return e.Name + ": " + e.Reason }

// ArtifactError says why compiled code was not loaded: it is damaged, or was made for
// another machine or by another version.
type ArtifactError struct {
	Name   string
	Reason string
}

// Error gives the name and the reason.
func (e *ArtifactError) Error() string { return e.Name + ": " + e.Reason }

// LinkError lists all that stands between a module and the contract.
type LinkError struct {
	Name     string
	Problems []string
}

// Error gives one problem on the first line, several on a line each.
func (e *LinkError) Error() string {
	switch len(e.Problems) {
	case 0:
		return e.Name + ": cannot be linked"
	case 1:
		return e.Name + ": " + e.Problems[0]
	}
	return fmt.Sprintf("%s: %d problems:\n  - %s", e.Name, len(e.Problems), strings.Join(e.Problems, "\n  - "))
}

// Limited is what a limit of Config counts.
type Limited string

// What modules may need too much of.
const (
	MemoryBytes   Limited = "memory"
	TableElements Limited = "table"
)

// LimitError is a module that needs more to start than a limit allows.
type LimitError struct {
	Name        string
	What        Limited
	Need, Limit int64 // in bytes or elements
}

// Error gives both numbers, and the flag that sets the limit.
func (e *LimitError) Error() string {
	if e.What == TableElements {
		return fmt.Sprintf("%s: it needs a table of %d elements to start, and the limit is %d (--table-limit sets the limit)", e.Name, e.Need, e.Limit)
	}
	return fmt.Sprintf("%s: it needs %s of memory to start, and the limit is %s (--memory-limit sets the limit)",
		e.Name, bytesText(e.Need), bytesText(e.Limit))
}

// TrapError is a guest that trapped.
type TrapError struct {
	Reason    string  // what happened, such as "unreachable instruction executed"
	Backtrace []Frame // innermost first, the shim's own frames left out, at most 64
	Memory    int64   // the guest's linear memory in bytes when it trapped
	Limit     int64   // its limit
	// Stack is the limit of the stack in bytes where that was exhausted, else 0.
	Stack int64

	debug *debugInfo
}

// Frames returns the backtrace with files and lines, where the module has DWARF, and
// with frames for inlined functions. They are looked up here, not when the guest
// traps; that takes milliseconds for a place that was not seen before.
func (e *TrapError) Frames() []Frame { return e.debug.resolve(e.Backtrace) }

// Error gives the reason, the memory in use, and the backtrace on lines of its own.
func (e *TrapError) Error() string {
	var b strings.Builder
	b.WriteString("the guest trapped: " + e.Reason)
	if e.Stack > 0 {
		fmt.Fprintf(&b, "; the stack is limited to %s, --stack-limit sets the limit", bytesText(e.Stack))
	}
	if e.Limit > 0 {
		fmt.Fprintf(&b, " (it had %s of %s memory", bytesText(e.Memory), bytesText(e.Limit))
		if e.Memory > e.Limit/2 {
			b.WriteString("; --memory-limit sets the limit")
		}
		b.WriteString(")")
	}
	writeBacktrace(&b, e.Frames())
	return b.String()
}

// TimeoutError is a task that ran longer than Config.TaskTimeout.
type TimeoutError struct {
	Limit     time.Duration
	Backtrace []Frame // where it was; innermost first, at most 64

	command bool // not a task, but a whole program
	debug   *debugInfo
}

// Frames is like that of TrapError.
func (e *TimeoutError) Frames() []Frame { return e.debug.resolve(e.Backtrace) }

// Error names the limit and how to raise it, and gives the backtrace.
func (e *TimeoutError) Error() string {
	var b strings.Builder
	what, flag := "task", "--task-timeout"
	if e.command {
		what, flag = "program", "--timeout"
	}
	fmt.Fprintf(&b, "the %s ran longer than its limit of %v (%s sets the limit)", what, e.Limit, flag)
	writeBacktrace(&b, e.Frames())
	return b.String()
}

// ExitError is a guest that called proc_exit, with status 0 too: a processor
// returns from run.
type ExitError struct{ Status int32 }

// Error gives the status.
func (e *ExitError) Error() string {
	return fmt.Sprintf("the guest exited with status %d (a processor returns from run instead)", e.Status)
}

// ResultError is a run that returned another value than 0. The instance lives.
type ResultError struct{ Code int32 }

// Error gives the value.
func (e *ResultError) Error() string {
	return fmt.Sprintf("the guest's run returned %d (0 is success)", e.Code)
}

// Frame is one function of a Wasm backtrace.
type Frame struct {
	Func   string // from the name section, demangled as far as it can be; "" if unknown
	Index  uint32 // function index
	Offset uint   // byte offset in the module

	// Set by Frames, where they are known.
	File    string // in the source; relative to where the compiler ran, if it lies below
	Line    int
	Inlined bool // Func was inlined into the next frame's
}

// String gives the function's name, or its index, the offset, and the line.
func (f Frame) String() string {
	text := f.Func
	if text == "" {
		text = fmt.Sprintf("function %d", f.Index)
	}
	if f.Inlined {
		text += " (inlined)"
	} else {
		text += fmt.Sprintf(" @0x%x", f.Offset)
	}
	if f.File != "" {
		text += fmt.Sprintf(" in %s:%d", f.File, f.Line)
	}
	return text
}

func writeBacktrace(b *strings.Builder, frames []Frame) {
	for _, f := range frames {
		b.WriteString("\n    at " + f.String())
	}
}

// bytesText writes a size as people do: 1.5 MiB.
func bytesText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return scaled(n, 1<<10, "KiB")
	case n < 1<<30:
		return scaled(n, 1<<20, "MiB")
	}
	return scaled(n, 1<<30, "GiB")
}

func scaled(n, unit int64, name string) string {
	if n%unit == 0 {
		return fmt.Sprintf("%d %s", n/unit, name)
	}
	return fmt.Sprintf("%.1f %s", float64(n)/float64(unit), name)
}
