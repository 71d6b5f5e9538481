package wasihost

import (
	"time"

	wt "github.com/bytecodealliance/wasmtime-go/v14"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// HostCall is one call of the host by a guest.
type HostCall struct {
	// Task is the index of the task in the batch of the current Drive; -1 during
	// instantiation, and for a command.
	Task int
	// Name is the function's, such as path_open.
	Name string
	// Args are the arguments as people read them: paths, what is written (at most
	// 32 bytes), and flags by their names.
	Args string
	// Result is what the call gave: "ok" with what it wrote to the guest's memory,
	// the errno's name, such as ENOENT, or a number; "" where it did not return.
	Result string
	// Took is how long the call took, with what the tracing itself costs, which is
	// some microseconds.
	Took time.Duration
}

// String gives the call on one line, without its time.
func (c *HostCall) String() string {
	if c.Result == "" {
		return c.Name + "(" + c.Args + ") did not return"
	}
	return c.Name + "(" + c.Args + ") = " + c.Result
}

// tracer puts together what Config.Trace is told.
type tracer struct {
	to    func(*HostCall)
	call  HostCall
	args  [9]uint64
	begun time.Time // zero while no call is under way
}

// hostTraceEnter is called before a call, which is named by its index.
func hostTraceEnter(in *Instance, args []wt.Val) (int32, error) {
	t := &in.trace
	f := in.plan.calls[args[0].I32()]
	for i := range f.Type.Params() {
		t.args[i] = in.box.long(uint32(shim.TraceArgs + 8*i))
	}
	t.call = HostCall{Task: -1, Name: f.Name}
	if in.box.word(shim.Cursor) != shim.NoTask {
		t.call.Task = in.output.base + in.box.cursor()
	}
	// Now: the call may write over what its arguments point to.
	t.call.Args = callForms[f.Name].arguments(t.args[:], view(in.context, in.memory))
	t.begun = time.Now()
	return 0, nil
}

// hostTraceLeave is called after a call with its index and its result.
func hostTraceLeave(in *Instance, args []wt.Val) (int32, error) {
	t := &in.trace
	t.call.Took = time.Since(t.begun)
	t.begun = time.Time{}
	// What the call has written comes before the line about it.
	if _, err := in.output.read(in.box); err != nil {
		return 0, err
	}
	t.call.Result = callForms[t.call.Name].result(t.args[:], args[1].I32(), view(in.context, in.memory))
	t.to(&t.call)
	return 0, nil
}

// abandon tells of a call that ended the guest, if one did.
func (t *tracer) abandon() (err error) {
	if t.begun.IsZero() {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v}
		}
	}()
	t.call.Took = time.Since(t.begun)
	t.begun = time.Time{}
	t.call.Result = ""
	t.to(&t.call)
	return nil
}
