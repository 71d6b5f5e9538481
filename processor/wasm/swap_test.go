package wasm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/processor/wasm"
	"github.com/wasmton/wasmton/wasihost"
)

// version is a guest that writes its letter and the number of tasks that this
// instance has had, then the task. "!" traps.
func version(letter byte) string {
	return fmt.Sprintf(`(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $tasks (mut i32) (i32.const 0))
  (data (i32.const 1022) "%c")
  (func (export "run")
    (local $n i32)
    (local.set $n (call $poll (i64.const 1024) (i32.const 1000)))
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 33)) (then (unreachable)))
    (global.set $tasks (i32.add (global.get $tasks) (i32.const 1)))
    (i32.store8 (i32.const 1023) (i32.add (global.get $tasks) (i32.const 48)))
    (i32.store (i32.const 0) (i32.const 1022))
    (i32.store (i32.const 4) (i32.add (local.get $n) (i32.const 3)))
    (i32.store8 offset=1024 (local.get $n) (i32.const 10))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))`, letter)
}

// lines collects what guests write.
type lines struct {
	mu   sync.Mutex
	list []string
}

func (l *lines) add(_ *processor.Record, _ wasihost.Stream, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, string(line))
}

func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

// gauges wants the number of live instances, and of those that were made and
// replaced so far.
func gauges(t *testing.T, registry *prometheus.Registry, live, started int, recycled string) {
	t.Helper()
	want := fmt.Sprintf(`
# HELP wasmton_guest_instances Guest instances alive.
# TYPE wasmton_guest_instances gauge
wasmton_guest_instances %d
# HELP wasmton_guest_starts_total Guest instances made.
# TYPE wasmton_guest_starts_total counter
wasmton_guest_starts_total %d
`, live, started)
	if recycled != "" {
		want += "# HELP wasmton_guest_recycled_total Instances replaced though nothing was wrong with them, by reason: memory, tasks, age, reload.\n" +
			"# TYPE wasmton_guest_recycled_total counter\n" + recycled + "\n"
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"wasmton_guest_instances", "wasmton_guest_starts_total", "wasmton_guest_recycled_total"); err != nil {
		t.Error(err)
	}
}

func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.Metric) == 1 {
			return f.Metric[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no gauge %s", name)
	return 0
}

func swap(t *testing.T, m *wasm.Module, wat string) *wasihost.Module {
	t.Helper()
	guest := compile(t, wat)
	if err := m.Swap(t.Context(), guest); err != nil {
		t.Fatal(err)
	}
	return guest
}

func TestABatchAfterASwapRunsInTheNewGuest(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	var got lines
	first := compile(t, version('A'))
	m, err := wasm.New(t.Context(), first, wasm.Config{Output: got.add, Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	one, two, late := processor_(t, m), processor_(t, m), processor_(t, m)
	process(t.Context(), one, "a", "b")
	process(t.Context(), two, "c")
	gauges(t, registry, 2, 2, "")

	second := swap(t, m, version('B'))
	if m.Guest() != second {
		t.Error("Guest is not the one that was put in")
	}
	// Idle lanes hold nothing of the old guest; the first instance of the new one waits.
	gauges(t, registry, 1, 3, `wasmton_guest_recycled_total{reason="reload"} 2`)
	if _, err := first.Instantiate(t.Context(), nil); !errors.Is(err, wasihost.ErrClosed) {
		t.Errorf("the old guest: %v, want it closed", err)
	}
	process(t.Context(), one, "d")
	process(t.Context(), late, "e", "f")
	process(t.Context(), two, "g")
	gauges(t, registry, 3, 5, `wasmton_guest_recycled_total{reason="reload"} 2`)

	want := []string{"A1a", "A2b", "A1c", "B1d", "B1e", "B2f", "B1g"}
	if list := got.take(); !slices.Equal(list, want) {
		t.Errorf("%q, want %q", list, want)
	}
	if err := m.Swap(t.Context(), second); err != nil {
		t.Errorf("the guest that is at work: %v", err)
	}
	process(t.Context(), one, "h")
	if list := got.take(); !slices.Equal(list, []string{"B2h"}) {
		t.Errorf("%q: a swap for the same guest is no change", list)
	}
}

// A lane that is busy during the swap ends its batch in the old guest, which is
// closed with it. Bound or not, the swap does not wait for it.
func TestASwapDoesNotWaitForBusyLanes(t *testing.T) {
	for _, most := range []int{1, 2, 100} {
		t.Run(fmt.Sprintf("at most %d", most), func(t *testing.T) {
			registry := prometheus.NewPedanticRegistry()
			var got lines
			held, resume := make(chan struct{}), make(chan struct{})
			m := module(t, version('A'), wasm.Config{Metrics: registry, MaxInstances: most,
				Output: func(r *processor.Record, s wasihost.Stream, line []byte) {
					got.add(r, s, line)
					if bytes.HasSuffix(line, []byte("hold")) {
						close(held)
						<-resume
					}
				}})
			busy, other := processor_(t, m), processor_(t, m)
			var wg sync.WaitGroup
			wg.Go(func() { process(t.Context(), busy, "hold", "last") })
			<-held
			swap(t, m, version('B'))
			process(t.Context(), other, "new")
			gauges(t, registry, 2, 2, "")
			close(resume)
			wg.Wait()
			gauges(t, registry, 1, 2, `wasmton_guest_recycled_total{reason="reload"} 1`)
			process(t.Context(), busy, "then")
			if most == 1 {
				gauges(t, registry, 1, 2, `wasmton_guest_recycled_total{reason="reload"} 1`)
			}
			list := got.take()
			if !slices.Equal(list[:3], []string{"A1hold", "B1new", "A2last"}) || list[3][0] != 'B' {
				t.Errorf("%q", list)
			}
		})
	}
}

// What can't take the place of the guest at work leaves it there.
func TestASwapThatFailsChangesNothing(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	var got lines
	m := module(t, version('A'), wasm.Config{Output: got.add, Metrics: registry, Recycle: wasm.Recycle{Memory: 1 << 20}})
	p := processor_(t, m)
	process(t.Context(), p, "a")
	before := m.Guest()
	closed := compile(t, version('C'))
	closed.Close()
	for name, test := range map[string]struct {
		guest *wasihost.Module
		want  string
	}{
		"no run":                 {compile(t, `(module (memory (export "memory") 1))`), "run"},
		"an import that is not":  {compile(t, `(module (import "env" "nothing" (func)) (memory (export "memory") 1) (func (export "run")))`), "nothing"},
		"a trap in _initialize":  {compile(t, `(module (import "decaton" "poll_task" (func (param i64 i32) (result i32))) (memory (export "memory") 1) (func (export "run")) (func (export "_initialize") unreachable))`), "_initialize"},
		"a guest that is closed": {closed, "closed"},
		"more memory than it may have for long": {compile(t, strings.Replace(version('D'), `"memory") 1`, `"memory") 17`, 1)),
			"--recycle-memory"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := m.Swap(t.Context(), test.guest); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want something about %q", err, test.want)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Swap(ended, compile(t, version('B'))); !errors.Is(err, wasihost.ErrInterrupted) {
		t.Errorf("with a context that has ended: %v", err)
	}
	if m.Guest() != before {
		t.Error("the guest has changed")
	}
	process(t.Context(), p, "b")
	if list := got.take(); !slices.Equal(list, []string{"A1a", "A2b"}) {
		t.Errorf("%q: the instance has changed", list)
	}
}

func TestTheInfoMetricFollows(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := module(t, version('A'), wasm.Config{Metrics: registry})
	digest := func() string {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "wasmton_module_info" && len(f.Metric) == 1 {
				for _, l := range f.Metric[0].Label {
					if l.GetName() == "digest" {
						return l.GetValue()
					}
				}
			}
		}
		t.Fatal("not one wasmton_module_info with a digest")
		return ""
	}
	for _, letter := range []byte("BC") {
		guest := swap(t, m, version(letter))
		if want := fmt.Sprintf("sha256:%x", guest.Digest()); digest() != want {
			t.Errorf("digest %s, want %s", digest(), want)
		}
	}
}

func TestASwapAfterCloseIsRefused(t *testing.T) {
	m, err := wasm.New(t.Context(), compile(t, version('A')), wasm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if err := m.Swap(t.Context(), compile(t, version('B'))); err == nil {
		t.Error("no error")
	}
}

// Lanes, traps and swaps all at once: every record has its outcome, in order, and
// in the end one instance is left, of the last guest.
func TestSwapsUnderLoad(t *testing.T) {
	for _, most := range []int{1, 3, 100} {
		t.Run(fmt.Sprintf("at most %d instances", most), func(t *testing.T) {
			const lanes, batches, swaps = 6, 300, 40
			registry := prometheus.NewPedanticRegistry()
			next := make([]int, lanes) // each touched by the lane of that number only
			m := module(t, version('0'), wasm.Config{Metrics: registry, MaxInstances: most, Recycle: wasm.Recycle{Tasks: 7},
				Output: func(r *processor.Record, _ wasihost.Stream, line []byte) {
					if task := string(line[2:]); task != fmt.Sprint(next[r.Partition]) {
						t.Errorf("lane %d: task %s, want %d", r.Partition, task, next[r.Partition])
					}
					next[r.Partition]++
				}})
			var working sync.WaitGroup
			var done atomic.Bool
			processors := make([]processor.Processor, lanes)
			for lane := range lanes {
				p, err := m.New(t.Context(), processor.Lane{})
				if err != nil {
					t.Fatal(err)
				}
				processors[lane] = p
				working.Go(func() {
					random := rand.New(rand.NewPCG(uint64(lane), 1))
					for task := 0; task < batches*5; {
						batch := make([]processor.Record, 1+random.IntN(9))
						for i := range batch {
							batch[i] = processor.Record{Partition: int32(lane), Value: fmt.Append(nil, task+i)}
						}
						trap := -1
						if random.IntN(10) == 0 {
							trap = random.IntN(len(batch))
							batch[trap].Value = []byte("!")
						}
						outcomes := make([]processor.Outcome, len(batch))
						p.Process(t.Context(), batch, outcomes)
						for i, o := range outcomes {
							want := processor.Done
							if trap >= 0 && i == trap {
								want = processor.Failed
							} else if trap >= 0 && i > trap {
								want = processor.NotRun
							}
							if o.Kind != want {
								t.Errorf("lane %d, task %d: %v, want %v", lane, task+i, o, want)
							}
						}
						if trap >= 0 {
							task += trap
						} else {
							task += len(batch)
						}
					}
				})
			}
			var swapping sync.WaitGroup
			swapping.Go(func() {
				for i := range swaps {
					if done.Load() {
						return
					}
					if err := m.Swap(t.Context(), compile(t, version(byte('0'+i%10)))); err != nil {
						t.Error(err)
					}
				}
			})
			working.Wait()
			done.Store(true)
			swapping.Wait()
			if live := gauge(t, registry, "wasmton_guest_instances"); live > float64(most) {
				t.Errorf("%v instances live, and the most is %d", live, most)
			}
			swap(t, m, version('Z'))
			for _, p := range processors {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			}
			if live := gauge(t, registry, "wasmton_guest_instances"); live != 1 {
				t.Errorf("%v instances are left, want the first of the last guest", live)
			}
		})
	}
}
