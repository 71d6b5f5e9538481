package wasm_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/processor/wasm"
	"github.com/wasmton/wasmton/wasihost"
)

// leaking is a guest that starts with a page and takes 1 KiB more for each task,
// which it writes to and never gives back. It traps when it gets no more.
const leaking = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (global $at (mut i32) (i32.const 1024))
  (func (export "run")
    (if (i32.gt_u (i32.add (global.get $at) (i32.const 1024)) (i32.mul (memory.size) (i32.const 65536)))
      (then (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))))
    (memory.fill (global.get $at) (i32.const 255) (i32.const 1024))
    (drop (call $poll (i64.extend_i32_u (global.get $at)) (i32.const 1024)))
    (global.set $at (i32.add (global.get $at) (i32.const 1024)))))`

// leakingPages is the twin of leaking: its memory in pages after some tasks.
func leakingPages(tasks int) int { return max(1, (tasks+1+63)/64) }

// leaks runs tasks in batches of some size and wants all of them done.
func leaks(tb testing.TB, m *wasm.Module, tasks, size int) {
	tb.Helper()
	p, err := m.New(context.Background(), processor.Lane{})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	batch, outcomes := make([]processor.Record, size), make([]processor.Outcome, size)
	for i := range batch {
		batch[i].Value = make([]byte, 100)
	}
	for left := tasks; left > 0; {
		n := min(left, size)
		p.Process(context.Background(), batch[:n], outcomes[:n])
		for i := range n {
			if outcomes[i].Kind != processor.Done {
				tb.Fatalf("task %d: %v", tasks-left+i, outcomes[i])
			}
			outcomes[i] = processor.Outcome{}
		}
		left -= n
	}
}

// An instance is replaced after the very task that took it past the bound, whatever
// the batches are.
func TestALeakNeverReachesTheLimit(t *testing.T) {
	const tasks, bound, limit = 20_000, 16, 17 // in pages; one task can't take two
	for _, size := range []int{1, 7, 256, 5000} {
		t.Run(fmt.Sprintf("batches of %d", size), func(t *testing.T) {
			registry := prometheus.NewPedanticRegistry()
			m := module(t, leaking, wasm.Config{Metrics: registry,
				Guest:   wasihost.Config{MemoryLimit: limit << 16},
				Recycle: wasm.Recycle{Memory: bound << 16}})
			leaks(t, m, tasks, size)
			perInstance := 1
			for leakingPages(perInstance) <= bound {
				perInstance++
			}
			// The last one is closed with its lane.
			recycled := (tasks - 1) / perInstance
			gauges(t, registry, 0, recycled+1, fmt.Sprintf(`wasmton_guest_recycled_total{reason="memory"} %d`, recycled))
		})
	}
}

// By default the bound is three quarters of the limit, so that a leak is no failure.
func TestTheDefaultBoundKeepsALeakFromFailing(t *testing.T) {
	guest := wasihost.Config{MemoryLimit: 1 << 20}
	leaks(t, module(t, leaking, wasm.Config{Guest: guest}), 5000, 100)

	never := processor_(t, module(t, leaking, wasm.Config{Guest: guest, Recycle: wasm.Recycle{Memory: -1}}))
	batch, outcomes := make([]processor.Record, 5000), make([]processor.Outcome, 5000)
	never.Process(t.Context(), batch, outcomes)
	failed := slices.IndexFunc(outcomes, func(o processor.Outcome) bool { return o.Kind != processor.Done })
	if failed != 1023 {
		t.Fatalf("without a bound, task %d fails; want 1,023, which finds the memory full", failed)
	}
	if _, ok := errors.AsType[*wasihost.TrapError](outcomes[failed].Err); !ok {
		t.Errorf("%v", outcomes[failed])
	}
}

func TestInstancesAreReplacedAfterSomeTasks(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	var got lines
	m := module(t, version('A'), wasm.Config{Metrics: registry, Recycle: wasm.Recycle{Tasks: 3},
		Output: func(r *processor.Record, s wasihost.Stream, line []byte) {
			if !bytes.Equal(r.Value, line[2:]) {
				t.Errorf("line %q comes with record %q", line, r.Value)
			}
			got.add(r, s, line)
		}})
	p := processor_(t, m)
	process(t.Context(), p, "a", "b")
	process(t.Context(), p, "c", "d", "e", "f", "g", "h", "i")
	process(t.Context(), p, "j")
	want := []string{"A1a", "A2b", "A3c", "A1d", "A2e", "A3f", "A1g", "A2h", "A3i", "A1j"}
	if list := got.take(); !slices.Equal(list, want) {
		t.Errorf("%q, want %q", list, want)
	}
	gauges(t, registry, 1, 4, `wasmton_guest_recycled_total{reason="tasks"} 3`)
}

// A task that failed counts too: it may have left as much behind as another.
func TestFailedTasksCount(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := module(t, echo, wasm.Config{Metrics: registry, Recycle: wasm.Recycle{Tasks: 2},
		Output: func(*processor.Record, wasihost.Stream, []byte) {}})
	p := processor_(t, m)
	for range 6 {
		if o := process(t.Context(), p, "?"); o[0].Kind != processor.Failed {
			t.Fatal(o)
		}
	}
	gauges(t, registry, 1, 3, `wasmton_guest_recycled_total{reason="tasks"} 2`)
}

func TestInstancesAreReplacedAtAnAge(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	var got lines
	m := module(t, version('A'), wasm.Config{Output: got.add, Metrics: registry, Recycle: wasm.Recycle{After: 1}})
	p := processor_(t, m)
	process(t.Context(), p, "a", "b")
	process(t.Context(), p, "c")
	process(t.Context(), p, "d")
	if list, want := got.take(), []string{"A1a", "A2b", "A1c", "A1d"}; !slices.Equal(list, want) {
		t.Errorf("%q, want %q: after 1 ns, each batch has an instance of its own", list, want)
	}
	gauges(t, registry, 1, 3, `wasmton_guest_recycled_total{reason="age"} 2`)

	m = module(t, version('A'), wasm.Config{Output: got.add, Recycle: wasm.Recycle{After: 24 * time.Hour}})
	p = processor_(t, m)
	process(t.Context(), p, "a")
	process(t.Context(), p, "b")
	if list, want := got.take(), []string{"A1a", "A2b"}; !slices.Equal(list, want) {
		t.Errorf("%q, want %q", list, want)
	}
}

// A guest that starts past the default bound is left alone.
func TestTheDefaultBoundSparesLargeGuests(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	var got lines
	m := module(t, strings.Replace(version('A'), `"memory") 1`, `"memory") 15`, 1),
		wasm.Config{Output: got.add, Metrics: registry, Guest: wasihost.Config{MemoryLimit: 1 << 20}})
	process(t.Context(), processor_(t, m), "a", "b")
	if list, want := got.take(), []string{"A1a", "A2b"}; !slices.Equal(list, want) {
		t.Errorf("%q, want %q", list, want)
	}
	gauges(t, registry, 1, 1, "")
}

func TestABoundThatIsTooLowIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	m := module(t, leaking, wasm.Config{Recycle: wasm.Recycle{Memory: 1 << 16},
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	leaks(t, m, 62, 10)
	if log.Len() > 0 {
		t.Errorf("nothing was replaced yet: %s", log.String())
	}
	leaks(t, m, 1000, 10)
	if log.Len() > 0 {
		t.Errorf("an instance that gets 63 tasks done is worth no word: %s", log.String())
	}
	small := strings.Replace(leaking, "(mut i32) (i32.const 1024)", "(mut i32) (i32.const 64512)", 1)
	m = module(t, small, wasm.Config{Recycle: wasm.Recycle{Memory: 1 << 16},
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	leaks(t, m, 1000, 10)
	if n := strings.Count(log.String(), "WARN"); n != 1 || !strings.Contains(log.String(), "tasks=2 memory_bytes=131072 bound_bytes=65536") {
		t.Errorf("%d warnings, want 1: %s", n, log.String())
	}
}

func TestRecycleIsChecked(t *testing.T) {
	for want, r := range map[string]wasm.Recycle{
		"Recycle.Memory":   {Memory: -2},
		"Recycle.Tasks":    {Tasks: -1},
		"Recycle.After":    {After: -1},
		"--recycle-memory": {Memory: 1},
	} {
		if _, err := wasm.New(t.Context(), compile(t, echo), wasm.Config{Recycle: r}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want something about %s", r, err, want)
		}
	}
}

var endurance = flag.Bool("endurance", false, "run what takes minutes (make endurance)")

// A guest that leaks 1 KiB a task runs on, and the process stays as large as it is.
// Without -endurance it is 100,000 tasks instead of 10 million.
func TestEnduranceOfALeak(t *testing.T) {
	tasks := 100_000
	if *endurance {
		tasks = 10_000_000
	}
	const bound = 16 << 20
	m := module(t, leaking, wasm.Config{Recycle: wasm.Recycle{Memory: bound}})
	leaks(t, m, tasks/10, 256)
	before := resident(t)
	begun := time.Now()
	leaks(t, m, tasks, 256)
	grown := resident(t) - before
	t.Logf("%d tasks leaked %d MiB, and resident memory grew by %.1f MiB; %d ns a task",
		tasks, tasks>>10, float64(grown)/(1<<20), int(time.Since(begun))/tasks)
	// Half of an instance, more or less, and what the Go side allocates in between.
	if grown > bound+16<<20 {
		t.Errorf("resident memory grew by %d bytes", grown)
	}
}

// resident is the process's resident memory in bytes; 0 where the system does not
// tell.
func resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// BenchmarkRecycle shows what it costs to replace instances: ns a task of a guest
// that leaks, and of one that does not.
func BenchmarkRecycle(b *testing.B) {
	const noop = `(module
	  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
	  (memory (export "memory") 1)
	  (func (export "run") (drop (call $poll (i64.const 1024) (i32.const 1000)))))`
	for _, bench := range []struct {
		name, guest string
		recycle     wasm.Recycle
	}{
		{"no-op/never", noop, wasm.Recycle{Memory: -1}},
		{"no-op/memory", noop, wasm.Recycle{}},
		{"no-op/tasks=100000", noop, wasm.Recycle{Tasks: 100_000}},
		{"no-op/tasks=1000", noop, wasm.Recycle{Tasks: 1000}},
		{"no-op/tasks=1", noop, wasm.Recycle{Tasks: 1}},
		{"no-op/after=1s", noop, wasm.Recycle{After: time.Second}},
		{"leak/memory=192MiB", leaking, wasm.Recycle{}},
		{"leak/memory=16MiB", leaking, wasm.Recycle{Memory: 16 << 20}},
		{"leak/memory=1MiB", leaking, wasm.Recycle{Memory: 1 << 20}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			guest, err := engine().Compile("guest.wat", []byte(bench.guest))
			if err != nil {
				b.Fatal(err)
			}
			m, err := wasm.New(context.Background(), guest, wasm.Config{Recycle: bench.recycle})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			b.ResetTimer()
			leaks(b, m, b.N, 256)
		})
	}
}
