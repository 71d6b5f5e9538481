package wasihost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

// TestTheBindingsObjects holds us to what native.go takes for granted of them.
func TestTheBindingsObjects(t *testing.T) {
	e := stillEngine(t)
	store := wt.NewStore(e.engine)
	if pointer(store) == nil || pointer(e.engine) == nil || pointer(e.linker) == nil {
		t.Error("no pointer")
	}
	// A store's first field is followed by its engine.
	if *(**wt.Engine)(unsafe.Add(unsafe.Pointer(store), unsafe.Sizeof(uintptr(0)))) != e.engine {
		t.Error("the binding's Store is laid out in another way")
	}
}

// residentKiB and mappedKiB are Linux's numbers, 0 elsewhere.
func processSize(t *testing.T) (residentKiB, mappedKiB int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(status), name+":")
		n, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return field("VmRSS"), field("VmSize")
}

func settled(t *testing.T) (residentKiB, mappedKiB int) {
	runtime.GC()
	debug.FreeOSMemory()
	return processSize(t)
}

// TestInstancesLeaveNothingBehind makes 20,000, of which a third traps, a third
// exits and a third is closed alive, without ever waiting for the collector.
func TestInstancesLeaveNothingBehind(t *testing.T) {
	m := compile(t, testEngine, talkingGuest)
	round := func(n int) {
		for i := range n {
			in, err := m.Instantiate(context.Background(), &Config{Output: func(int, Stream, []byte) {}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = drive(in, "a", string([]byte{0, 'x', 3, 'x', 4, 'x'}[i%3*2:][:2]))
			var trap *TrapError
			var exit *ExitError
			if ok := []bool{errors.As(err, &trap), errors.As(err, &exit), err == nil}; !ok[i%3] {
				t.Fatal(err)
			}
			in.Close()
			in.Close()
		}
	}
	round(2000)
	slots := len(registry.slots)
	resident, mapped := settled(t)
	round(20000)
	_, mappedAtOnce := processSize(t)
	residentAfter, mappedAfter := settled(t)
	// A store that was left behind maps 16 GiB; one of 20,000 that holds a few KiB
	// shows in residence.
	if over := mappedAtOnce - mapped; over > 8<<20 {
		t.Errorf("%d MiB more are mapped before a collection", over>>10)
	}
	if over := mappedAfter - mapped; over > 4<<20 {
		t.Errorf("%d MiB more are mapped", over>>10)
	}
	if over := residentAfter - resident; over > 16<<10 {
		t.Errorf("%d KiB more are resident", over)
	}
	if n := len(registry.slots); n != slots {
		t.Errorf("the registry grew from %d to %d", slots, n)
	}
}

// TestAnInstanceIsSmall: each may hold 64 KiB beside the guest's own pages, after a
// full batch and all kinds of output.
func TestAnInstanceIsSmall(t *testing.T) {
	const n = 500
	m := compile(t, testEngine, allImportsGuest(`
		(func (export "run")
		  (drop (call $poll_task (i64.const 1024) (i32.const 4096)))
		  (i32.store (i32.const 0) (i32.const 1024))
		  (i32.store (i32.const 4) (i32.const 100))
		  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))`))
	cfg := &Config{Output: func(int, Stream, []byte) {}}
	tasks := benchTasks(1024, 100)
	if _, err := start(t, m, cfg).Drive(context.Background(), tasks); err != nil {
		t.Fatal(err)
	}
	before, _ := settled(t)
	for range n {
		if _, err := start(t, m, cfg).Drive(context.Background(), tasks); err != nil {
			t.Fatal(err)
		}
	}
	after, _ := settled(t)
	const own = 4 // the page of the guest's that it touches
	if each := (after - before) / n; each > 64+own {
		t.Errorf("%d KiB resident for each instance, of which %d are the guest's", each, own)
	} else {
		t.Logf("%d KiB resident for each instance, of which %d are the guest's", each, own)
	}
}

func TestRunningOutOfAddressesIsAnError(t *testing.T) {
	m := compile(t, testEngine, pollingGuest)
	var all []*Instance
	defer func() {
		for _, in := range all {
			in.Close()
		}
	}()
	for range 40000 {
		in, err := m.Instantiate(context.Background(), nil)
		if err != nil {
			if !strings.Contains(err.Error(), fmt.Sprintf("(%d instances are live; --max-instances bounds them)", live()+1)) {
				t.Error(err)
			}
			// Those that are there still work.
			if n, err := drive(all[len(all)/2], "x"); n != 1 || err != nil {
				t.Error(n, err)
			}
			return
		}
		all = append(all, in)
	}
	t.Logf("%d instances, and room for more", len(all))
}

func TestManyLanesAtOnce(t *testing.T) {
	m := compile(t, testEngine, talkingGuest)
	var lanes sync.WaitGroup
	for lane := range 8 {
		lanes.Go(func() {
			for i := range 50 {
				var lines int
				in, err := m.Instantiate(context.Background(), &Config{Output: func(task int, _ Stream, line []byte) {
					if task >= 0 && string(line) == strconv.Itoa(task) {
						lines++
					}
				}})
				if err != nil {
					t.Error(err)
					return
				}
				tasks := make([]string, 40)
				for j := range tasks {
					tasks[j] = strconv.Itoa(j)
				}
				if lane%2 == 0 {
					tasks[30] = "\x00trap"
				}
				n, err := drive(in, tasks...)
				if want := []int{30, 40}[lane%2]; n != want || lines != want || (err == nil) != (lane%2 == 1) {
					t.Errorf("lane %d, round %d: %d tasks, %d lines, %v", lane, i, n, lines, err)
				}
				in.Close()
			}
		})
	}
	lanes.Wait()
}

func TestAnEngineMayBeClosedTwice(t *testing.T) {
	e, err := NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	m := compile(t, e, pollingGuest)
	in := start(t, m, nil)
	if n, err := drive(in, "x"); n != 1 || err != nil {
		t.Error(n, err)
	}
	in.Close()
	if in.Alive() || in.MemoryUse() != 0 {
		t.Error("a closed instance is alive")
	}
	if _, err := drive(in, "x"); !errors.Is(err, ErrDead) {
		t.Errorf("a closed instance: %v", err)
	}
	e.Close()
	e.Close()
	if _, err := m.Instantiate(context.Background(), nil); !errors.Is(err, ErrInterrupted) {
		t.Errorf("Instantiate on a closed engine: %v", err)
	}
}

func TestAnEndedContextMakesNoInstance(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if in, err := compile(t, testEngine, pollingGuest).Instantiate(ctx, nil); in != nil || err != ErrInterrupted {
		t.Errorf("Instantiate = %v, %v", in, err)
	}
}
