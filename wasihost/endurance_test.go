package wasihost

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"
)

// With -endurance the tests of this file take minutes and as much of everything as
// they are named for; without, they are short.
var endurance = flag.Bool("endurance", false, "run endurance tests in full")

// amount is how much of something a test does.
func amount(long, short int) int {
	if *endurance {
		return long
	}
	return short
}

// failingGuest does what its task says: t, o, r, n, w and e are ways to end it, l leaks
// a kilobyte and ends it when there is no memory left, and all else is fine.
const failingGuest = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (type $none (func))
  (memory (export "memory") 1)
  (table 1 funcref)
  (global $top (mut i32) (i32.const 4096))
  (data (i32.const 0) "\10\00\00\00\06\00\00\00")
  (data (i32.const 16) "output")
  (func $recurse (call $recurse))
  (func $leak
    (global.set $top (i32.add (global.get $top) (i32.const 1024)))
    (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16))) (then
      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))))
    (memory.fill (i32.sub (global.get $top) (i32.const 1024)) (i32.const 7) (i32.const 1024)))
  (func (export "run") (result i32) (local $c i32)
    (if (i32.ne (call $poll (i64.const 1024) (i32.const 1024)) (i32.const 1)) (then (return (i32.const 9))))
    (local.set $c (i32.load8_u (i32.const 1024)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (i32.eq (local.get $c) (i32.const 0x74)) (then (unreachable)))                       ;; t
    (if (i32.eq (local.get $c) (i32.const 0x6f)) (then (i32.store (i32.const -4) (i32.const 0)))) ;; o
    (if (i32.eq (local.get $c) (i32.const 0x72)) (then (call $recurse)))                     ;; r
    (if (i32.eq (local.get $c) (i32.const 0x6e)) (then (call_indirect (type $none) (i32.const 0)))) ;; n
    (if (i32.eq (local.get $c) (i32.const 0x77)) (then                                       ;; w
      (drop (call $write (i32.const 1) (i32.const -8) (i32.const 2) (i32.const 8)))))
    (if (i32.eq (local.get $c) (i32.const 0x65)) (then (call $exit (i32.const 7))))          ;; e
    (if (i32.eq (local.get $c) (i32.const 0x6c)) (then (call $leak)))                        ;; l
    (i32.const 0)))`

// replacing drives tasks through instances of a module, each of which is thrown away
// when its guest fails, and counts.
type replacing struct {
	t                       *testing.T
	m                       *Module
	cfg                     *Config
	in                      *Instance
	done, failed, instances int
}

func (r *replacing) drive(tasks [][]byte) {
	r.t.Helper()
	for len(tasks) > 0 {
		if r.in == nil {
			in, err := r.m.Instantiate(context.Background(), r.cfg)
			if err != nil {
				r.t.Fatal(err)
			}
			r.in = in
			r.instances++
		}
		n, err := r.in.Drive(context.Background(), tasks)
		r.done += n
		tasks = tasks[n:]
		if err == nil {
			continue
		}
		var trap *TrapError
		var exit *ExitError
		if !errors.As(err, &trap) && !errors.As(err, &exit) || r.in.Alive() {
			r.t.Fatalf("after %d tasks: %v, alive %v", r.done, err, r.in.Alive())
		}
		r.failed++
		tasks = tasks[1:]
		r.close()
	}
}

func (r *replacing) close() {
	r.in.Close() // may be nil
	r.in = nil
}

// TestEnduranceTraps has a guest trap in all ways there are, a hundred thousand
// times. What the process holds and maps stays where it was, without help from the
// collector, and all tasks are accounted for.
func TestEnduranceTraps(t *testing.T) {
	ways := []byte("tonwe")
	traps := amount(100_000, 2_000)
	r := &replacing{t: t, m: compile(t, testEngine, failingGuest), cfg: &Config{Output: func(int, Stream, []byte) {}}}
	batch := func(i int) (tasks [][]byte) {
		// A task that fails in a batch of five.
		tasks = [][]byte{{'.'}, {'.'}, {'.'}, {'.'}, {'.'}}
		tasks[i/5%5] = []byte{ways[i%len(ways)]}
		if i%100 == 0 {
			tasks[i/5%5] = []byte{'r'} // it costs a thousand times as much
		}
		return tasks
	}
	warm := traps / 10
	for i := range warm {
		r.drive(batch(i))
	}
	slots := len(registry.slots)
	resident, mapped := settled(t)
	for i := range traps - warm {
		r.drive(batch(i))
		if i%(traps/20) != 0 {
			continue
		}
		nowResident, nowMapped := processSize(t)
		if nowResident-resident > 64<<10 || nowMapped-mapped > 40<<20 {
			t.Fatalf("after %d traps %d KiB more are resident, and %d MiB more are mapped", r.failed, nowResident-resident, (nowMapped-mapped)>>10)
		}
	}
	r.close()
	if r.failed != traps || r.done != 4*traps {
		t.Errorf("%d tasks done and %d failed, of %d", r.done, r.failed, 5*traps)
	}
	afterResident, afterMapped := settled(t)
	if afterResident-resident > 48<<10 || afterMapped-mapped > 4<<20 || len(registry.slots) != slots {
		t.Errorf("in the end %d KiB more are resident, %d MiB more are mapped, and there are %d slots, not %d",
			afterResident-resident, (afterMapped-mapped)>>10, len(registry.slots), slots)
	}
	t.Logf("%d traps, %d instances: %+d KiB resident, %+d MiB mapped", r.failed, r.instances, afterResident-resident, (afterMapped-mapped)>>10)
}

// TestEnduranceLeak has a guest that leaks a kilobyte a task. It fails when it has
// come to its limit, is replaced, and the tasks go on.
func TestEnduranceLeak(t *testing.T) {
	const limit = 2 << 20
	tasks := amount(2_000_000, 20_000)
	r := &replacing{t: t, m: compile(t, testEngine, failingGuest), cfg: &Config{MemoryLimit: limit, Output: func(int, Stream, []byte) {}}}
	batch := make([][]byte, 200)
	for i := range batch {
		batch[i] = []byte("l")
	}
	r.drive(batch)
	resident, _ := settled(t)
	for i := range tasks/len(batch) - 1 {
		r.drive(batch)
		if r.in != nil && r.in.MemoryUse() > limit {
			t.Fatalf("%d bytes of memory", r.in.MemoryUse())
		}
		if now, _ := processSize(t); i%100 == 0 && now-resident > 32<<10 {
			t.Fatalf("%d KiB more are resident after %d tasks", now-resident, r.done)
		}
	}
	r.close()
	// An instance lasts as long as its limit allows, and that long only.
	const each = (limit - 4096) / 1024
	if r.done+r.failed != tasks || r.failed != tasks/(each+1) {
		t.Errorf("%d tasks done and %d failed of %d; each instance has room for %d", r.done, r.failed, tasks, each)
	}
	t.Logf("%d tasks, %d instances", tasks, r.instances)
}

// TestEnduranceLiveInstances has as many guests at once as a process runs by
// default, and more, each after a full batch. Beside what the guest itself touches,
// which here is a page of its memory, an instance may hold 64 KiB.
func TestEnduranceLiveInstances(t *testing.T) {
	n := amount(3000, 200)
	m := compile(t, testEngine, pollingGuest)
	tasks := benchTasks(maxBatch, 100)
	made := make([]*Instance, 0, n)
	more := func() {
		in := start(t, m, &Config{})
		if _, err := in.Drive(context.Background(), tasks); err != nil {
			t.Fatal(err)
		}
		made = append(made, in)
	}
	more()
	before, _ := settled(t)
	for len(made) < n {
		more()
	}
	after, _ := settled(t)
	each := float64(after-before) / float64(n-1)
	if each > 64 || each < 1 {
		t.Errorf("%.1f KiB each", each)
	}
	for _, in := range made {
		if _, err := in.Drive(context.Background(), tasks[:1]); err != nil {
			t.Fatal(err)
		}
		in.Close()
	}
	t.Logf("%d instances: %.1f KiB each", n, each)
}

// sleepingGuest waits 10 ms in each task.
const sleepingGuest = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $wait (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (i32.store (i32.const 80) (i32.const 1))         ;; the monotonic clock
    (i64.store (i32.const 88) (i64.const 10000000))
    (call $wait (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8))))`

// BenchmarkWaitingGuests gives the rate of 300 guests that wait 10 ms in each task,
// as a share of the 30,000 tasks a second that waiting alone allows.
func BenchmarkWaitingGuests(b *testing.B) {
	for _, guests := range []int{1, 300} {
		b.Run(fmt.Sprintf("guests=%d", guests), func(b *testing.B) {
			m := benchModule(b, sleepingGuest)
			ins := make([]*Instance, guests)
			for i := range ins {
				in, err := m.Instantiate(context.Background(), &Config{})
				if err != nil {
					b.Fatal(err)
				}
				defer in.Close()
				ins[i] = in
			}
			each := max(1, b.N/guests)
			tasks := benchTasks(each, 100)
			var all sync.WaitGroup
			used := processorTime(b)
			b.ResetTimer()
			begun := time.Now()
			for _, in := range ins {
				all.Go(func() {
					if n, err := in.Drive(context.Background(), tasks); n != each || err != nil {
						b.Error(n, err)
					}
				})
			}
			all.Wait()
			took := time.Since(begun)
			rate := float64(each*guests) / took.Seconds()
			b.ReportMetric(float64((processorTime(b)-used).Nanoseconds())/float64(each*guests), "cpu-ns/task")
			b.ReportMetric(rate, "tasks/s")
			b.ReportMetric(rate/(float64(guests)*100), "share")
		})
	}
}

// processorTime is what the process has used of its processors. A machine that has
// other things to do lowers the rate, and not this.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
