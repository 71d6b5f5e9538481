package wasm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/processor/processortest"
	"github.com/wasmton/wasmton/processor/wasm"
	"github.com/wasmton/wasmton/wasihost"
)

func TestMain(m *testing.M) {
	code := m.Run()
	engine().Close()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// echo writes each task and "|" as a line. A task that begins with "?" makes run
// return 7, one with "!" traps, one with "@" loops, one with "x" exits with 3.
const echo = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $size (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\00\04\00\00")
  (func (export "run") (result i32)
    (local $n i32)
    (local $first i32)
    (local.set $n (call $size))
    (drop (memory.grow (i32.sub
      (i32.add (i32.const 1) (i32.shr_u (i32.add (i32.const 2048) (local.get $n)) (i32.const 16)))
      (memory.size))))
    (i32.store8 (i32.const 1024) (i32.const 0))
    (drop (call $poll (i64.const 1024) (local.get $n)))
    (local.set $first (i32.load8_u (i32.const 1024)))
    (if (i32.eq (local.get $first) (i32.const 63)) (then (return (i32.const 7))))
    (if (i32.eq (local.get $first) (i32.const 33)) (then (unreachable)))
    (if (i32.eq (local.get $first) (i32.const 64)) (then (loop (br 0))))
    (if (i32.eq (local.get $first) (i32.const 120)) (then (call $exit (i32.const 3))))
    (i32.store8 offset=1024 (local.get $n) (i32.const 124))
    (i32.store8 offset=1025 (local.get $n) (i32.const 10))
    (i32.store (i32.const 4) (i32.add (local.get $n) (i32.const 2)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (i32.const 0)))`

var engine = sync.OnceValue(func() *wasihost.Engine {
	e, err := wasihost.NewEngine()
	if err != nil {
		panic(err)
	}
	return e
})

func compile(t *testing.T, wat string) *wasihost.Module {
	t.Helper()
	m, err := engine().Compile("echo.wat", []byte(wat))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func module(t *testing.T, wat string, cfg wasm.Config) *wasm.Module {
	t.Helper()
	m, err := wasm.New(t.Context(), compile(t, wat), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func TestGuestsPassTheSuite(t *testing.T) {
	for name, max := range map[string]int{"an instance a lane": 0, "lanes that share two instances": 2} {
		t.Run(name, func(t *testing.T) {
			processortest.Run(t, func(t *testing.T, seen func([]byte)) processor.Factory {
				guest := wasihost.Config{LogLimit: 64 << 20} // it says what it was given, and that is large
				return module(t, echo, wasm.Config{Guest: guest, MaxInstances: max, Output: whole(seen)})
			})
		})
	}
}

// whole puts the pieces of long lines together: the guest ends each task with "|".
func whole(seen func([]byte)) func(*processor.Record, wasihost.Stream, []byte) {
	var mu sync.Mutex
	parts := map[*processor.Record][]byte{}
	return func(r *processor.Record, _ wasihost.Stream, line []byte) {
		mu.Lock()
		defer mu.Unlock()
		parts[r] = append(parts[r], line...)
		if value, ended := bytes.CutSuffix(parts[r], []byte("|")); ended {
			delete(parts, r)
			seen(value)
		}
	}
}

func processor_(t *testing.T, m *wasm.Module) processor.Processor {
	t.Helper()
	p, err := m.New(t.Context(), processor.Lane{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func process(ctx context.Context, p processor.Processor, values ...string) []processor.Outcome {
	batch := make([]processor.Record, len(values))
	for i, v := range values {
		batch[i] = processor.Record{Topic: "t", Partition: 2, Offset: int64(100 + i), Value: []byte(v)}
	}
	outcomes := make([]processor.Outcome, len(batch))
	p.Process(ctx, batch, outcomes)
	return outcomes
}

func TestEachWayToFailHasItsError(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := module(t, echo, wasm.Config{
		Guest: wasihost.Config{TaskTimeout: 50 * time.Millisecond}, Metrics: registry,
		Output: func(*processor.Record, wasihost.Stream, []byte) {},
	})
	p := processor_(t, m)
	fails := func(value string, as any) {
		t.Helper()
		o := process(t.Context(), p, "before", value, "after")
		if o[0].Kind != processor.Done || o[1].Kind != processor.Failed || o[2].Kind != processor.NotRun {
			t.Errorf("%q: %v", value, o)
		} else if !errors.As(o[1].Err, as) {
			t.Errorf("%q: %T %v", value, o[1].Err, o[1].Err)
		}
		if o := process(t.Context(), p, "after"); o[0].Kind != processor.Done {
			t.Errorf("the task after %q: %v", value, o)
		}
	}
	fails("!", new(*wasihost.TrapError))
	fails("!", new(*wasihost.TrapError))
	fails("@", new(*wasihost.TimeoutError))
	fails("x", new(*wasihost.ExitError))
	fails("?", new(*wasihost.ResultError))

	want := `
# HELP wasmton_guest_failures_total Tasks that failed in the guest, by kind: trap, timeout, exit, result.
# TYPE wasmton_guest_failures_total counter
wasmton_guest_failures_total{kind="exit"} 1
wasmton_guest_failures_total{kind="result"} 1
wasmton_guest_failures_total{kind="timeout"} 1
wasmton_guest_failures_total{kind="trap"} 2
# HELP wasmton_guest_instances Guest instances alive.
# TYPE wasmton_guest_instances gauge
wasmton_guest_instances 1
# HELP wasmton_guest_starts_total Guest instances made.
# TYPE wasmton_guest_starts_total counter
wasmton_guest_starts_total 5
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"wasmton_guest_failures_total", "wasmton_guest_instances", "wasmton_guest_starts_total"); err != nil {
		t.Error(err)
	}
}

func TestLinesArriveWithTheirRecord(t *testing.T) {
	var got []string
	m := module(t, echo, wasm.Config{Output: func(r *processor.Record, s wasihost.Stream, line []byte) {
		got = append(got, fmt.Sprintf("%s %v %s", r.Coordinates(), s, line))
	}})
	process(t.Context(), processor_(t, m), "a", "b\nc")
	want := "t/2@100 stdout a|, t/2@101 stdout b, t/2@101 stdout c|"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The one instance goes from lane to lane, and no lane starves the others.
func TestManyLanesShareOneInstance(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	var mu sync.Mutex
	lines := 0
	m := module(t, echo, wasm.Config{MaxInstances: 1, Metrics: registry,
		Output: func(*processor.Record, wasihost.Stream, []byte) { mu.Lock(); lines++; mu.Unlock() }})
	var wg sync.WaitGroup
	for range 20 {
		p := processor_(t, m)
		wg.Go(func() {
			for i := range 200 {
				value := "ok"
				if i%50 == 7 {
					value = "!"
				}
				want := processor.Done
				if value == "!" {
					want = processor.Failed
				}
				if o := process(t.Context(), p, value); o[0].Kind != want {
					t.Errorf("%q: %v", value, o[0])
				}
			}
		})
	}
	wg.Wait()
	if want := 20 * (200 - 4); lines != want {
		t.Errorf("%d lines, want %d", lines, want)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP wasmton_guest_starts_total Guest instances made.
# TYPE wasmton_guest_starts_total counter
wasmton_guest_starts_total 81
`), "wasmton_guest_starts_total"); err != nil {
		t.Errorf("one instance, and one more after each of 80 traps: %v", err)
	}
}

// A lane that waits for an instance is interrupted, not failed, and what it was
// about to get is not lost.
func TestAWaitForAnInstanceEndsWithTheContext(t *testing.T) {
	started := make(chan struct{}, 1)
	resume := make(chan struct{})
	m := module(t, echo, wasm.Config{MaxInstances: 1, Output: func(*processor.Record, wasihost.Stream, []byte) {
		started <- struct{}{}
		<-resume
	}})
	holder, waiter := processor_(t, m), processor_(t, m)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { process(t.Context(), holder, "hold") })
	<-started

	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("revoked")
	waiting := make(chan []processor.Outcome)
	wg.Go(func() { waiting <- process(ctx, waiter, "wait") })
	cancel(why)
	if o := <-waiting; o[0].Kind != processor.Interrupted {
		t.Errorf("%v", o)
	}
	close(resume)
	if o := process(t.Context(), waiter, "wait"); o[0].Kind != processor.Done {
		t.Errorf("after the holder's batch: %v", o)
	}
}

// A guest that starts once and never again is not the record's fault.
func TestAnInstanceThatCannotBeMadeAgainIsUnusable(t *testing.T) {
	dir := t.TempDir()
	const startsOnce = `(module
	  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
	  (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
	  (memory (export "memory") 1)
	  (data (i32.const 0) "x")
	  (func (export "_initialize")
	    (if (call $mkdir (i32.const 3) (i32.const 0) (i32.const 1)) (then (unreachable))))
	  (func (export "run") (unreachable)))`
	m := module(t, startsOnce, wasm.Config{Guest: wasihost.Config{Dirs: []wasihost.Dir{{Host: dir, Guest: "/"}}}})
	p := processor_(t, m)
	if o := process(t.Context(), p, "a"); o[0].Kind != processor.Failed {
		t.Fatalf("first: %v", o)
	}
	o := process(t.Context(), p, "b")
	if _, ok := errors.AsType[*processor.UnusableError](o[0].Err); o[0].Kind != processor.Failed || !ok {
		t.Errorf("second: %v", o)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		wat  string
		cfg  wasm.Config
		want string
	}{
		"a guest without run": {`(module (memory (export "memory") 1))`, wasm.Config{}, "run"},
		"a guest that cannot start": {`(module (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
			(memory (export "memory") 1) (func (export "run")) (func (export "_initialize") unreachable))`, wasm.Config{}, "_initialize"},
		"a directory that is not": {echo, wasm.Config{Guest: wasihost.Config{Dirs: []wasihost.Dir{{Host: "/no/such", Guest: "/"}}}}, "/no/such"},
		"fewer than no instances": {echo, wasm.Config{MaxInstances: -1}, "MaxInstances"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wasm.New(t.Context(), compile(t, test.wat), test.cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want something about %q", err, test.want)
			}
		})
	}
}
