package processor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// Func processes one record at a time; it is a Factory whose Processors all
// call the same function. With more than one partition or lane it is called
// from several goroutines at once.
//
// A nil error is Done. An error is Failed, except that an error which the end
// of ctx explains (ctx has ended, and the error is its Err or its Cause) is
// Interrupted. A panic is Failed with a [*PanicError].
type Func func(ctx context.Context, r *Record) error

// New returns a Processor that calls f. It never fails.
func (f Func) New(context.Context, Lane) (Processor, error) { return funcProcessor{f}, nil }

type funcProcessor struct{ f Func }

func (p funcProcessor) Process(ctx context.Context, batch []Record, outcomes []Outcome) {
	for i := range batch {
		if ctx.Err() != nil {
			outcomes[i] = Outcome{Kind: Interrupted, Err: context.Cause(ctx)}
			return
		}
		if outcomes[i] = p.one(ctx, &batch[i]); outcomes[i].Kind != Done {
			return
		}
	}
}

func (p funcProcessor) one(ctx context.Context, r *Record) (o Outcome) {
	defer func() {
		if v := recover(); v != nil {
			o = Outcome{Kind: Failed, Err: &PanicError{Value: v, Stack: debug.Stack()}}
		}
	}()
	err := p.f(ctx, r)
	switch {
	case err == nil:
		return Outcome{Kind: Done}
	case ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))):
		return Outcome{Kind: Interrupted, Err: err}
	default:
		return Outcome{Kind: Failed, Err: err}
	}
}

func (funcProcessor) Close() error { return nil }

// PanicError is the failure of a record whose function panicked.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // the goroutine's stack, as debug.Stack formats it
}

// Error gives the panic's value and the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Unwrap returns the panic's value where that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
