package processor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/processor/processortest"
)

func TestFuncPassesTheSuite(t *testing.T) {
	processortest.Run(t, func(_ *testing.T, seen func([]byte)) processor.Factory {
		return processor.Func(func(_ context.Context, r *processor.Record) error {
			switch string(r.Value) {
			case processortest.FailValue:
				return errors.New("asked to fail")
			case processortest.BreakValue:
				panic("asked to break")
			}
			seen(r.Value)
			return nil
		})
	})
}

// What a function returns when its context ended is told apart: the end of the
// context is an interruption, an error of the function's own a failure.
func TestErrorsAfterTheContextEnded(t *testing.T) {
	why := errors.New("revoked")
	for name, test := range map[string]struct {
		returns error
		want    processor.Kind
	}{
		"nothing":             {nil, processor.Done},
		"the context's error": {context.Canceled, processor.Interrupted},
		"it, wrapped":         {fmt.Errorf("calling the bank: %w", context.Canceled), processor.Interrupted},
		"the cause":           {fmt.Errorf("gave up: %w", why), processor.Interrupted},
		"an error of its own": {errors.New("no such account"), processor.Failed},
		"another deadline":    {context.DeadlineExceeded, processor.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			f := processor.Func(func(context.Context, *processor.Record) error {
				cancel(why)
				return test.returns
			})
			p, _ := f.New(ctx, processor.Lane{})
			outcomes := make([]processor.Outcome, 1)
			p.Process(ctx, make([]processor.Record, 1), outcomes)
			if outcomes[0].Kind != test.want {
				t.Errorf("%v, want %v", outcomes[0], test.want)
			}
		})
	}
}

// A function whose own call was cancelled has failed: the lane goes on.
func TestACancelledCallOfTheFunctionsOwnIsAFailure(t *testing.T) {
	f := processor.Func(func(context.Context, *processor.Record) error { return context.Canceled })
	p, _ := f.New(t.Context(), processor.Lane{})
	outcomes := make([]processor.Outcome, 1)
	p.Process(t.Context(), make([]processor.Record, 1), outcomes)
	if outcomes[0].Kind != processor.Failed {
		t.Errorf("%v, want failed", outcomes[0])
	}
}

func TestAPanicCarriesItsValueAndStack(t *testing.T) {
	boom := errors.New("boom")
	f := processor.Func(func(context.Context, *processor.Record) error { panic(boom) })
	p, _ := f.New(t.Context(), processor.Lane{})
	outcomes := make([]processor.Outcome, 1)
	p.Process(t.Context(), make([]processor.Record, 1), outcomes)
	var pe *processor.PanicError
	if !errors.As(outcomes[0].Err, &pe) || !errors.Is(pe, boom) || len(pe.Stack) == 0 {
		t.Errorf("%v", outcomes[0].Err)
	}
}

func TestCoordinates(t *testing.T) {
	r := processor.Record{Topic: "orders", Partition: 3, Offset: 9007199254740993}
	if got, want := r.Coordinates(), "orders/3@9007199254740993"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func ExampleFunc() {
	var greet processor.Func = func(_ context.Context, r *processor.Record) error {
		fmt.Printf("%s: hello, %s\n", r.Coordinates(), r.Value)
		return nil
	}
	p, _ := greet.New(context.Background(), processor.Lane{})
	batch := []processor.Record{{Topic: "names", Offset: 7, Value: []byte("Ada")}}
	outcomes := make([]processor.Outcome, len(batch))
	p.Process(context.Background(), batch, outcomes)
	fmt.Println(outcomes[0].Kind)
	// Output:
	// names/0@7: hello, Ada
	// done
}
