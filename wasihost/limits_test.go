package wasihost

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// timedGuest takes as much time as its task says: for each byte but the last it
// hands a line over to the host, where the test lets that much time pass, and then
// comes to where the passing of time is noticed. The last byte is only handed over,
// as late in the task as can be.
const timedGuest = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $wait (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $pass (param $at i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 0) (i32.const 24)) ;; a newline
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    ;; a wait of no time: output is handed over before it
    (drop (call $wait (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8))))
  (data (i32.const 24) "\0a")
  (func $spin (loop $l (nop)))
  (func (export "run") (local $n i32) (local $i i32)
    (local.set $n (call $poll (i64.const 1024) (i32.const 1024)))
    (loop $again
      (if (i32.lt_s (local.get $i) (i32.sub (local.get $n) (i32.const 1))) (then
        (call $pass (i32.add (i32.const 1024) (local.get $i)))
        (call $spin)
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $again))))
    (if (local.get $n) (then (call $pass (i32.add (i32.const 1024) (local.get $i)))))))`

// timed is an instance whose time is in the test's hands: what the guest hands
// over, a letter, is done by the function of that name.
type timed struct {
	*Instance
	seen strings.Builder
}

func newTimed(t *testing.T, limit time.Duration, do map[byte]func()) *timed {
	t.Helper()
	e := stillEngine(t)
	tm := &timed{}
	pass := func(n int) {
		for range n {
			e.clock.tick(e.advance)
		}
	}
	m := compile(t, e, timedGuest)
	tm.Instance = start(t, m, &Config{TaskTimeout: limit, Output: func(task int, _ Stream, line []byte) {
		fmt.Fprintf(&tm.seen, "%d%s ", task, line)
		switch c := line[0]; {
		case c >= '0' && c <= '9':
			pass(int(c - '0'))
		case c == 'X':
			pass(10)
		case c == 'I':
			e.Interrupt()
			pass(1)
		case do[c] != nil:
			do[c]()
		}
	}})
	return tm
}

// limit of the tests below, in ticks.
const testLimit = 10

func TestTimeLimits(t *testing.T) {
	for _, c := range []struct {
		name  string
		tasks []string
		n     int // where less than all, the task that takes too long
	}{
		{"tasks that take no time all run", []string{"0", "0", "0"}, 3},
		{"a task may take as long as its limit", []string{"X0"}, 1},
		{"a task that takes longer is stopped", []string{"X90"}, 0},
		{"also tick by tick", []string{"11111111110"}, 1},
		{"it is stopped at the tick after its limit", []string{"X10"}, 0},
		{"also tick by tick ", []string{"111111111110"}, 0},
		{"those before it are done", []string{"0", "1", "X90", "0"}, 2},
		{"a task that is done when time has passed is not late", []string{"X9", "0"}, 2},
		{"the limit is one task's, not the batch's", []string{"90", "90", "90", "90", "90"}, 5},
		{"a task that begins when a tick has passed has its whole limit", []string{"1", "X0"}, 2},
		{"also when the task before saw the tick", []string{"10", "X0"}, 2},
		{"also after many short tasks", []string{"1", "1", "1", "1", "1", "X0", "1", "X0"}, 8},
		{"also after one that took the whole of its limit", []string{"X", "X0"}, 2},
		{"and no more than its limit", []string{"1", "X90"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := newTimed(t, testLimit*tick, nil)
			n, err := drive(in.Instance, c.tasks...)
			var late *TimeoutError
			switch {
			case n != c.n:
				t.Errorf("%d tasks done, want %d: %v", n, c.n, err)
			case n == len(c.tasks) && (err != nil || !in.Alive()):
				t.Errorf("error %v, alive %v", err, in.Alive())
			case n < len(c.tasks) && (!errors.As(err, &late) || in.Alive()):
				t.Errorf("error %v, alive %v; want a TimeoutError", err, in.Alive())
			case late != nil && (late.Limit != testLimit*tick || len(late.Backtrace) == 0 ||
				!strings.Contains(late.Error(), "limit of 100ms (--task-timeout")):
				t.Errorf("%v", late)
			}
		})
	}
}

func TestAnEndedContext(t *testing.T) {
	for _, c := range []struct {
		name  string
		tasks []string
		n     int
		alive bool
		seen  string
	}{
		{"lets the task that runs finish, and no other begin", []string{"0", "c10", "0"}, 2, true, "00 1c 11 10 "},
		{"lets a task finish that no tick finds running, and those of its crossing", []string{"c0", "0"}, 2, true, "0c 00 10 "},
		{"gives a task some ticks", []string{"c1", "0"}, 1, true, "0c 01 "},
		{"but not many", []string{"0", "c1190", "0"}, 1, false, "00 1c 11 11 19 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			in := newTimed(t, time.Hour, map[byte]func(){'c': cancel})
			tasks := make([][]byte, len(c.tasks))
			for i, s := range c.tasks {
				tasks[i] = []byte(s)
			}
			n, err := in.Drive(ctx, tasks)
			if n != c.n || n < len(tasks) && !errors.Is(err, ErrInterrupted) || n == len(tasks) && err != nil {
				t.Errorf("Drive = %d, %v; want %d", n, err, c.n)
			}
			if in.Alive() != c.alive || in.seen.String() != c.seen {
				t.Errorf("alive %v, seen %q; want %v, %q", in.Alive(), in.seen.String(), c.alive, c.seen)
			}
			if n, err := in.Drive(ctx, [][]byte{[]byte("0")}); c.alive && (n != 0 || !errors.Is(err, ErrInterrupted)) {
				t.Errorf("Drive with an ended context = %d, %v", n, err)
			}
			if n, err := drive(in.Instance, "0"); c.alive && (n != 1 || err != nil) {
				t.Errorf("Drive with another context = %d, %v", n, err)
			}
		})
	}
}

func TestEachContextHasItsOwnGrace(t *testing.T) {
	var end context.CancelFunc
	in := newTimed(t, time.Hour, map[byte]func(){'c': func() { end() }})
	for range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		end = cancel
		n, err := in.Drive(ctx, [][]byte{[]byte("9"), []byte("c110"), []byte("0")})
		if n != 2 || err != ErrInterrupted || !in.Alive() {
			t.Fatalf("Drive = %d, %v, alive %v", n, err, in.Alive())
		}
	}
}

func TestInterrupt(t *testing.T) {
	in := newTimed(t, time.Hour, nil)
	if n, err := drive(in.Instance, "0", "I10", "0"); n != 1 || err != ErrInterrupted {
		t.Errorf("Drive = %d, %v", n, err)
	}
	if in.Alive() {
		t.Error("the instance is alive in the middle of a task")
	}
	if in.seen.String() != "00 1I 11 " {
		t.Errorf("seen %q", in.seen.String())
	}
	if _, err := in.module.Instantiate(context.Background(), nil); err != ErrInterrupted {
		t.Errorf("Instantiate after Interrupt: %v", err)
	}
}

func TestInterruptHitsAllAndIsForEver(t *testing.T) {
	e, err := NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	// A loop without a host call, and one that sleeps.
	m := compile(t, e, `(module
		(import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
		(import "wasi_snapshot_preview1" "poll_oneoff" (func $wait (param i32 i32 i32 i32) (result i32)))
		(memory (export "memory") 1)
		(func (export "run")
		  (i64.store (i32.const 88) (i64.const 9000000000000000))
		  (if (call $poll (i64.const 0) (i32.const 64)) (then
		    (drop (call $wait (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8)))))
		  (loop $l (br $l))))`)
	const lanes = 8
	begun, done := make(chan bool), make(chan error, lanes)
	for i := range lanes {
		in := start(t, m, &Config{TaskTimeout: time.Hour})
		go func() {
			begun <- true
			_, err := drive(in, strings.Repeat("x", i%2))
			done <- err
		}()
	}
	for range lanes {
		<-begun
	}
	e.Interrupt()
	for range lanes {
		if err := <-done; err != ErrInterrupted {
			t.Error(err)
		}
	}
	e.Interrupt()
}

func TestALoopWithoutEndIsStopped(t *testing.T) {
	for _, c := range []struct{ name, body string }{
		{"an empty loop", `(loop $l (br $l))`},
		{"calls without a loop", `(call $twice (i32.const 60))`},
		{"a wait for ever", `(i64.store (i32.const 88) (i64.const -1))
			(drop (call $wait (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8)))`},
		{"waits, one after another", `(loop $l
			(drop (call $wait (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8))) (br $l))`},
		{"writing without end", `(i32.store (i32.const 4) (i32.const 60000))
			(loop $l (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $l))`},
		{"one write of gigabytes", `(call $vectors)
			(drop (call $write (i32.const 1) (i32.const 1024) (i32.const 8000) (i32.const 8)))
			(loop $l (drop (call $write (i32.const 1) (i32.const 1024) (i32.const 8000) (i32.const 8))) (br $l))`},
	} {
		text := fmt.Sprintf(`(module
			(import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
			(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
			(import "wasi_snapshot_preview1" "poll_oneoff" (func $wait (param i32 i32 i32 i32) (result i32)))
			(memory (export "memory") 2)
			(global $init (mut i32) (i32.const INIT))
			(func $twice (param i32) (if (local.get 0) (then
			  (call $twice (i32.sub (local.get 0) (i32.const 1)))
			  (call $twice (i32.sub (local.get 0) (i32.const 1))))))
			(func $vectors (local $i i32) (loop $l
			  (i32.store offset=1028 (i32.shl (local.get $i) (i32.const 3)) (i32.const 65536))
			  (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8000)))))
			(func $it %s)
			(func (export "_initialize") (if (global.get $init) (then (call $it))))
			(func (export "run")
			  (if (call $poll (i64.const 0) (i32.const 64)) (then (call $it)))))`, c.body)
		cfg := &Config{TaskTimeout: tick, Output: func(int, Stream, []byte) {}}
		t.Run(c.name+" in run", func(t *testing.T) {
			e := stillEngine(t)
			m := compile(t, e, strings.Replace(text, "INIT", "0", 1))
			in := start(t, m, cfg)
			if n, err := drive(in, "", ""); n != 2 || err != nil {
				t.Fatalf("Drive = %d, %v", n, err)
			}
			stop := timeFlies(e)
			n, err := drive(in, "x", "")
			stop()
			var late *TimeoutError
			if n != 0 || !errors.As(err, &late) || in.Alive() {
				t.Errorf("Drive = %d, %v, alive %v", n, err, in.Alive())
			}
			if n, err := drive(start(t, m, cfg), ""); n != 1 || err != nil {
				t.Errorf("the next instance: %d, %v", n, err)
			}
		})
		t.Run(c.name+" in _initialize", func(t *testing.T) {
			e := stillEngine(t)
			m := compile(t, e, strings.Replace(text, "INIT", "1", 1))
			defer timeFlies(e)()
			in, err := m.Instantiate(context.Background(), cfg)
			var late *TimeoutError
			if in != nil || !errors.As(err, &late) || !strings.HasPrefix(err.Error(), "guest.wat: in _initialize: ") {
				t.Errorf("Instantiate = %v, %v", in, err)
			}
		})
	}
	t.Run("in the start function", func(t *testing.T) {
		e := stillEngine(t)
		m := compile(t, e, loopAtStart)
		m.tryStart = func() error { return nil }
		defer timeFlies(e)()
		_, err := m.Instantiate(context.Background(), &Config{TaskTimeout: tick})
		var late *TimeoutError
		if !errors.As(err, &late) || !strings.HasPrefix(err.Error(), "guest.wat: in its start function: ") {
			t.Errorf("Instantiate: %v", err)
		}
	})
	t.Run("in the start function, while it is checked", func(t *testing.T) {
		e := stillEngine(t)
		m := compile(t, e, loopAtStart)
		defer timeFlies(e)()
		if err := m.Check(); err != nil {
			t.Errorf("Check, which leaves that to Instantiate: %v", err)
		}
	})
	t.Run("by the real clock", func(t *testing.T) {
		in := guest(t, `(module `+pollImport+aMemory+`(func (export "run") (loop $l (br $l))))`, &Config{TaskTimeout: tick})
		_, err := drive(in, "x")
		if _, ok := errors.AsType[*TimeoutError](err); !ok {
			t.Errorf("Drive: %v", err)
		}
	})
}

const loopAtStart = `(module ` + pollImport + aMemory + `
	(func $it (loop $l (br $l)))
	(start $it)
	(func (export "run")))`

// stillEngine is an engine whose clock stands still.
func stillEngine(t *testing.T) *Engine {
	t.Helper()
	e, err := newEngine(EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// timeFlies lets the engine's time pass, as fast as it can, until stop is called.
func timeFlies(e *Engine) (stop func()) {
	var done sync.WaitGroup
	closing := make(chan bool)
	done.Go(func() {
		for {
			select {
			case <-closing:
				return
			default:
				e.clock.tick(e.advance)
				runtime.Gosched()
			}
		}
	})
	return func() { close(closing); done.Wait() }
}

func TestTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		var epochs, looks atomic.Int64
		var busy atomic.Bool
		c.start(func() { epochs.Add(1) }, func() bool { looks.Add(1); return busy.Load() })
		ticks := func(d time.Duration) int64 {
			before := epochs.Load()
			time.Sleep(d)
			synctest.Wait()
			return epochs.Load() - before
		}
		time.Sleep(tick / 2)
		busy.Store(true)
		if n := ticks(time.Second); n != 100 {
			t.Errorf("%d ticks in a second of work, want 100", n)
		}
		busy.Store(false)
		ticks(time.Second)
		looks.Store(0)
		if n := ticks(24 * time.Hour); n != 0 || looks.Load() != 0 {
			t.Errorf("%d ticks and %d looks in a day of rest", n, looks.Load())
		}
		busy.Store(true)
		c.wake()
		c.wake()
		if n := ticks(time.Second); n != 100 {
			t.Errorf("%d ticks in a second after waking, want 100", n)
		}
		if n := uint64(epochs.Load()); n != c.ticks.Load() {
			t.Errorf("%d epochs, %d ticks", n, c.ticks.Load())
		}
		busy.Store(false)
		ticks(time.Second)
		c.stop() // while it rests
	})
}

func TestTheClockIsWokenInTime(t *testing.T) {
	// The guest starts between the first look and the second: the clock must go on.
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		looks := 0
		c.start(func() {}, func() bool { looks++; return looks%2 == 0 })
		time.Sleep(10*time.Second + tick/2)
		if n := c.ticks.Load(); n != 1000 {
			t.Errorf("%d ticks, want 1000", n)
		}
		c.stop()
	})
}

func TestLimitTicks(t *testing.T) {
	for _, c := range []struct {
		limit time.Duration
		ticks uint64
	}{
		{1, 1}, {tick, 1}, {tick + 1, 2}, {time.Second, 100}, {maxTaskTimeout, 8640000},
	} {
		if got := limitTicks(c.limit); got != c.ticks+slackTicks {
			t.Errorf("limitTicks(%v) = %d, want %d and the slack", c.limit, got, c.ticks)
		}
	}
}

// growingGuest grows its memory by as many pages as its task has bytes, and returns
// 1 where it may not.
const growingGuest = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $size (result i32)))
  (memory (export "memory") 1)
  (table 1 funcref)
  (func (export "run") (result i32)
    (if (i32.eq (call $size) (i32.const 7777)) (then
      (return (i32.eq (table.grow (ref.null func) (i32.const 2000000)) (i32.const -1)))))
    (i32.eq (memory.grow (call $size)) (i32.const -1))))`

func TestMemoryLimit(t *testing.T) {
	m := compile(t, testEngine, growingGuest)
	refused := &ResultError{Code: 1}
	check := func(t *testing.T, in *Instance, pages int, ok bool) {
		t.Helper()
		before := in.MemoryUse()
		_, err := in.Drive(context.Background(), [][]byte{make([]byte, pages)})
		var got *ResultError
		switch {
		case ok && (err != nil || in.MemoryUse() != before+int64(pages)<<16):
			t.Errorf("growing by %d pages: %v, from %d to %d", pages, err, before, in.MemoryUse())
		case !ok && (!errors.As(err, &got) || *got != *refused || in.MemoryUse() != before):
			t.Errorf("growing by %d pages was not refused: %v, %d", pages, err, in.MemoryUse())
		}
	}
	t.Run("a guest may have as much as its limit and no more", func(t *testing.T) {
		in := start(t, m, &Config{MemoryLimit: 1 << 20})
		check(t, in, 16, false)
		check(t, in, 15, true)
		check(t, in, 1, false)
		check(t, in, 0, true)
	})
	t.Run("a large task does not lift the limit", func(t *testing.T) {
		in := start(t, m, &Config{MemoryLimit: 1 << 20})
		check(t, in, 5<<20, false)
		check(t, in, 16, false)
		check(t, in, 15, true)
	})
	t.Run("a limit of one page leaves room for tasks", func(t *testing.T) {
		in := start(t, m, &Config{MemoryLimit: 1 << 16})
		check(t, in, 1, false)
		check(t, in, 3<<20, false)
	})
	t.Run("memory may have 4 GiB", func(t *testing.T) {
		in := start(t, m, &Config{MemoryLimit: 4 << 30})
		check(t, in, 65535, true)
		check(t, in, 1, false)
	})
	t.Run("tables are bounded too", func(t *testing.T) {
		if _, err := start(t, m, nil).Drive(context.Background(), [][]byte{make([]byte, 7777)}); err == nil {
			t.Error("a table grew by two million elements")
		}
	})
	t.Run("a module that needs more to start is refused, with the flag's name", func(t *testing.T) {
		big := compile(t, testEngine, strings.Replace(growingGuest, `"memory") 1)`, `"memory") 17)`, 1))
		_, err := big.Instantiate(context.Background(), &Config{MemoryLimit: 1 << 20})
		if err == nil || err.Error() != "guest.wat: it needs 1.1 MiB of memory to start, and the limit is 1 MiB (--memory-limit sets the limit)" {
			t.Error(err)
		}
	})
	t.Run("a module with huge or many tables is refused", func(t *testing.T) {
		for table, want := range map[string]string{
			"(table 2000000 funcref)":                      "it needs a table of 2000000 elements to start, and the limit is 1048576 (--table-limit sets the limit)",
			strings.Repeat("(table 1 funcref)", maxTables): "it has 9 tables, and a guest may have 8",
		} {
			_, err := compile(t, testEngine, strings.Replace(growingGuest, "(func (export", table+"(func (export", 1)).
				Instantiate(context.Background(), nil)
			if err == nil || err.Error() != "guest.wat: "+want {
				t.Error(err)
			}
		}
	})
	if !slices.IsSorted([]int64{minMemory, DefaultMemoryLimit, maxMemory}) {
		t.Error("the default is out of bounds")
	}
}
