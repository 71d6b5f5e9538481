package wasihost

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ianlancetaylor/demangle"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// maxFrames bounds a backtrace. Guests that recurse without end have tens of
// thousands.
const maxFrames = 64

// trapStackOverflow is the code of a trap for want of stack.
const trapStackOverflow = 0

// trapIndirectCallToNull is the code of the trap that calling the shim ends in
// before its back is there.
const trapIndirectCallToNull = 4

// trapReasons are what the codes mean, in the terms of whoever wrote the guest.
var trapReasons = []string{
	0:  "call stack exhausted (recursion without end, or very large stack frames)",
	1:  "memory access out of bounds",
	2:  "misaligned atomic access",
	3:  "table access out of bounds",
	4:  "call of a null function pointer",
	5:  "call of a function pointer with the wrong type",
	6:  "integer overflow in a division or conversion",
	7:  "integer division by zero",
	8:  "conversion to integer of a number out of range or not a number",
	9:  "unreachable instruction executed (an abort, a panic or a failed assertion)",
	10: "stopped by the host",
	11: "out of fuel",
}

// panicError is a panic in a host function or in Config.Output.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("panic in the host: %v", e.value) }

// failure turns the end of a call into an error of Drive's. The guest is dead.
func (in *Instance) failure(o outcome) error {
	in.dead = true
	if err := in.trace.abandon(); err != nil && in.stop == nil {
		in.stop = err
	}
	if in.stop != nil {
		var late *TimeoutError
		switch {
		case errors.Is(in.stop, ErrInterrupted):
			return ErrInterrupted
		case errors.As(in.stop, &late):
			late.Backtrace, _ = backtrace(o)
			late.debug = in.module.debug
			return late
		}
		return in.trapped(in.stop.Error(), o)
	}
	if in.box != nil {
		switch in.box.word(shim.Fault) {
		case shim.FaultExit:
			return &ExitError{Status: int32(in.box.word(shim.Value))}
		case shim.FaultBounds:
			return in.trapped(in.boundsReason(), o)
		}
	}
	return in.trapped(reason(o), o)
}

func (in *Instance) trapped(reason string, o outcome) error {
	frames, _ := backtrace(o)
	err := &TrapError{Reason: reason, Backtrace: frames, Memory: in.MemoryUse(), Limit: in.cfg.MemoryLimit, debug: in.module.debug}
	if o.code() == trapStackOverflow {
		err.Stack = in.engine.cfg.StackLimit
	}
	return err
}

// boundsReason says which bytes a call of the shim's was asked to touch.
func (in *Instance) boundsReason() string {
	name := "a call"
	if i := int(in.box.word(shim.FaultCall)); i < len(in.plan.calls) {
		name = in.plan.calls[i].Name
	}
	return outside(name, in.box.long(shim.FaultAddr), in.box.long(shim.FaultLen), in.box.long(shim.FaultMemory))
}

// reason says what happened where the host has not brought it about.
func reason(o outcome) string {
	if code := o.code(); code >= 0 && code < len(trapReasons) {
		return trapReasons[code]
	}
	// A native WASI function that was given nonsense. Its text follows the backtrace.
	text := o.message()
	if _, cause, ok := strings.Cut(text, "Caused by:"); ok {
		text = strings.TrimSpace(cause)
		if first, numbered := strings.CutPrefix(text, "0: "); numbered {
			return firstLines(first, 1) // it repeats the others
		}
	}
	return firstLines(text, 3)
}

// backtrace returns the guest's frames, and the name of the shim's function where
// the innermost frame is one of front's.
func backtrace(o outcome) (frames []Frame, front string) {
	first := true
	o.frames(func(module, function string, index uint32, offset uint) bool {
		switch module {
		case shim.FrontName:
			if first {
				front = function
			}
		case shim.BackName:
		default:
			frames = append(frames, Frame{Func: readable(function), Index: index, Offset: offset})
		}
		first = false
		return len(frames) < maxFrames
	})
	return frames, front
}

// readable demangles the names of Rust and C++ functions.
func readable(name string) string {
	const most = 500
	name = strings.ToValidUTF8(demangle.Filter(name, demangle.NoClones), "?")
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return name
}

// cannotMake says why there is no room for an instance.
func (in *Instance) cannotMake(o outcome) error {
	text := firstLines(o.message(), 3)
	if strings.Contains(text, "mmap") {
		// Each takes 16 GiB of addresses, whatever its limit, and a process has 128 TiB.
		text += fmt.Sprintf(" (%d instances are live; --max-instances bounds them)", live())
	}
	return fmt.Errorf("%s: it cannot be instantiated: %s", in.module.name, text)
}

// startFailure says why the guest could not be instantiated.
func (in *Instance) startFailure(o outcome) error {
	name := in.module.name
	frames, front := backtrace(o)
	switch {
	case o.code() == trapIndirectCallToNull && front != "":
		return &LinkError{Name: name, Problems: []string{fmt.Sprintf(
			"its start function calls the host (%s), which is not there yet: do that in an exported _initialize instead "+
				"(AssemblyScript: --exportStart _initialize)", front)}}
	case o.trap == nil && len(frames) == 0:
		return in.cannotMake(o)
	}
	err := in.failure(o)
	if errors.Is(err, ErrInterrupted) {
		return err
	}
	return fmt.Errorf("%s: in its start function: %w", name, err)
}
