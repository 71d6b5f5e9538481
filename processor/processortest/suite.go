// Package processortest has the behaviour that every processor.Processor shows,
// as a suite that each implementation runs on itself.
package processortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/wasmton/wasmton/processor"
)

// The suite speaks to the processor under test through record values.
const (
	// FailValue asks for a failure in the gentlest way that the implementation
	// has: an error, a result code.
	FailValue = "?fail"
	// BreakValue asks for a failure in the harshest way: a panic, a trap.
	BreakValue = "!break"
)

// Factory makes the factory under test. Its Processors report each value that
// they process, in the order in which they do, by calling seen, and treat
// FailValue and BreakValue, which they do not report, as those say.
type Factory func(t *testing.T, seen func(value []byte)) processor.Factory

// Run runs the suite.
func Run(t *testing.T, factory Factory) {
	for name, test := range suite {
		t.Run(name, func(t *testing.T) {
			log := new(log)
			test(t, &harness{t: t, log: log, factory: factory(t, log.add)})
		})
	}
}

var suite = map[string]func(*testing.T, *harness){
	"a batch is processed in order": func(t *testing.T, h *harness) {
		p := h.processor(0)
		h.process(p, []string{"a", "b", "c"}, processor.Done, processor.Done, processor.Done)
		h.sees("a", "b", "c")
	},
	"batches follow one another": func(t *testing.T, h *harness) {
		p := h.processor(0)
		for i := range 50 {
			h.process(p, []string{fmt.Sprint(i)}, processor.Done)
		}
		if got := h.log.values(); len(got) != 50 || got[49] != "49" {
			t.Fatalf("saw %q", got)
		}
	},
	"a large batch is processed whole": func(t *testing.T, h *harness) {
		values := make([]string, 5000)
		kinds := make([]processor.Kind, len(values))
		for i := range values {
			values[i], kinds[i] = fmt.Sprint(i), processor.Done
		}
		h.process(h.processor(0), values, kinds...)
		h.sees(values...)
	},
	"an empty value and a tombstone are records like others": func(t *testing.T, h *harness) {
		p := h.processor(0)
		batch := []processor.Record{{Value: []byte("a")}, {Value: []byte{}}, {Value: nil}, {Value: []byte("b")}}
		outcomes := make([]processor.Outcome, len(batch))
		p.Process(t.Context(), batch, outcomes)
		h.are(outcomes, processor.Done, processor.Done, processor.Done, processor.Done)
		h.sees("a", "", "", "b")
	},
	"a value of 3 MiB arrives whole": func(t *testing.T, h *harness) {
		value := bytes.Repeat([]byte("0123456789abcdef"), 3<<16)
		h.process(h.processor(0), []string{"small", string(value), "small again"}, processor.Done, processor.Done, processor.Done)
		got := h.log.values()
		if len(got) != 3 || got[1] != string(value) || got[2] != "small again" {
			t.Fatalf("%d values seen, the second of %d bytes", len(got), len(got[1]))
		}
	},
	"a failure leaves the rest of the batch not run": func(t *testing.T, h *harness) {
		for _, failing := range []string{FailValue, BreakValue} {
			p := h.processor(0)
			h.process(p, []string{"a", failing, "b", "c"}, processor.Done, processor.Failed, processor.NotRun, processor.NotRun)
			h.sees("a")
			h.process(p, []string{"b", "c"}, processor.Done, processor.Done)
			h.sees("a", "b", "c")
			h.log.clear()
		}
	},
	"a failure of the first record leaves all others not run": func(t *testing.T, h *harness) {
		h.process(h.processor(0), []string{FailValue, "a"}, processor.Failed, processor.NotRun)
		h.sees()
	},
	"failures in a row each fail, and the next record is processed": func(t *testing.T, h *harness) {
		p := h.processor(0)
		for range 3 {
			h.process(p, []string{BreakValue}, processor.Failed)
			h.process(p, []string{FailValue}, processor.Failed)
		}
		h.process(p, []string{"a"}, processor.Done)
		h.sees("a")
	},
	"a context that has ended interrupts the first record": func(t *testing.T, h *harness) {
		p := h.processor(0)
		h.process(p, []string{"a"}, processor.Done)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("stopping"))
		outcomes := make([]processor.Outcome, 2)
		p.Process(ctx, records([]string{"b", "c"}), outcomes)
		h.are(outcomes, processor.Interrupted, processor.NotRun)
		h.sees("a")
		h.process(p, []string{"b"}, processor.Done)
	},
	"lanes process at once and each in its own order": func(t *testing.T, h *harness) {
		var wg sync.WaitGroup
		for lane := range 8 {
			p := h.processor(lane)
			wg.Go(func() {
				for i := range 100 {
					h.process(p, []string{fmt.Sprintf("%d/%03d", lane, i)}, processor.Done)
				}
			})
		}
		wg.Wait()
		got := h.log.values()
		slices.SortStableFunc(got, func(a, b string) int { return int(a[0]) - int(b[0]) })
		if len(got) != 800 || !slices.IsSorted(got) {
			t.Fatalf("%d values seen; each lane's in order: %v", len(got), slices.IsSorted(got))
		}
	},
	"a processor of another lane is not touched by a failure": func(t *testing.T, h *harness) {
		p, q := h.processor(0), h.processor(1)
		h.process(q, []string{"q1"}, processor.Done)
		h.process(p, []string{BreakValue}, processor.Failed)
		h.process(q, []string{"q2"}, processor.Done)
		h.sees("q1", "q2")
	},
	"a processor that never ran can be closed": func(t *testing.T, h *harness) { h.processor(0) },
}

type harness struct {
	t       *testing.T
	log     *log
	factory processor.Factory
}

func (h *harness) processor(lane int) processor.Processor {
	h.t.Helper()
	p, err := h.factory.New(h.t.Context(), processor.Lane{Topic: "suite", Index: lane})
	if err != nil {
		h.t.Fatalf("a Processor for lane %d: %v", lane, err)
	}
	h.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			h.t.Errorf("Close: %v", err)
		}
	})
	return p
}

func records(values []string) []processor.Record {
	batch := make([]processor.Record, len(values))
	for i, v := range values {
		batch[i] = processor.Record{Topic: "suite", Offset: int64(i), Value: []byte(v), Attempt: 1}
	}
	return batch
}

// process processes values as one batch, checks the outcomes, and that the
// batch's values were left as they were.
func (h *harness) process(p processor.Processor, values []string, want ...processor.Kind) {
	h.t.Helper()
	batch, outcomes := records(values), make([]processor.Outcome, len(values))
	p.Process(h.t.Context(), batch, outcomes)
	h.are(outcomes, want...)
	if !reflect.DeepEqual(batch, records(values)) {
		h.t.Errorf("Process wrote to its batch")
	}
}

func (h *harness) are(outcomes []processor.Outcome, want ...processor.Kind) {
	h.t.Helper()
	for i, o := range outcomes {
		if o.Kind != want[i] {
			h.t.Errorf("record %d is %v (%v), want %v", i, o.Kind, o.Err, want[i])
		}
		if (o.Kind == processor.Failed) != (o.Err != nil) && o.Kind != processor.Interrupted {
			h.t.Errorf("record %d is %v with error %v", i, o.Kind, o.Err)
		}
	}
}

func (h *harness) sees(want ...string) {
	h.t.Helper()
	if got := h.log.values(); !slices.Equal(got, want) {
		h.t.Errorf("saw %.200q, want %.200q", got, want)
	}
}

// log collects what the processors report, from all lanes.
type log struct {
	mu  sync.Mutex
	all []string
}

func (l *log) add(value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(value))
}

func (l *log) values() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func (l *log) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = nil
}
