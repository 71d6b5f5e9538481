package wasihost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// hashingGuest folds every task into a hash, bytes and length; it returns the hash
// after a task of one byte 0xff, which it then begins anew. Its buffer is as large
// as task_size says.
const hashingGuest = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $size (result i32)))
  (memory (export "memory") 1)
  (global $h (mut i32) (i32.const 0))
  (func (export "run") (result i32)
    (local $n i32) (local $i i32) (local $h i32) (local $pages i32)
    (local.set $n (call $size))
    (local.set $pages (i32.add (i32.shr_u (i32.add (local.get $n) (i32.const 0x10007)) (i32.const 16)) (i32.const 0)))
    (if (i32.gt_u (local.get $pages) (memory.size)) (then
      (if (i32.eq (memory.grow (i32.sub (local.get $pages) (memory.size))) (i32.const -1)) (then unreachable))))
    (if (i32.ne (call $poll (i64.const 7) (local.get $n)) (local.get $n)) (then unreachable))
    (if (i32.ne (call $size) (i32.const -1)) (then unreachable))
    (if (i32.and (i32.eq (local.get $n) (i32.const 1)) (i32.eq (i32.load8_u (i32.const 7)) (i32.const 0xff))) (then
      (local.set $h (global.get $h))
      (global.set $h (i32.const 0))
      (return (local.get $h))))
    (local.set $h (i32.add (i32.mul (global.get $h) (i32.const 31)) (local.get $n)))
    (block $out (loop $again
      (br_if $out (i32.ge_u (local.get $i) (local.get $n)))
      (local.set $h (i32.add (i32.mul (local.get $h) (i32.const 31)) (i32.load8_u (i32.add (i32.const 7) (local.get $i)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $again)))
    (global.set $h (local.get $h))
    (i32.const 0)))`

func hash(tasks [][]byte) int32 {
	h := uint32(0)
	for _, t := range tasks {
		h = h*31 + uint32(len(t))
		for _, b := range t {
			h = h*31 + uint32(b)
		}
	}
	return int32(h)
}

// checkHash drives tasks through a hashingGuest, and compares.
func checkHash(t rapid.TB, in *Instance, tasks [][]byte) {
	t.Helper()
	want := hash(tasks)
	n, err := in.Drive(context.Background(), append(tasks, []byte{0xff}))
	var result *ResultError
	switch {
	case want == 0 && err == nil && n == len(tasks)+1:
	case !errors.As(err, &result):
		t.Fatalf("Drive = %d, %v", n, err)
	case n != len(tasks) || result.Code != want:
		t.Fatalf("the guest saw other tasks: hash %d after %d tasks, want %d after %d", result.Code, n, want, len(tasks))
	}
}

func TestTasksArriveWholeAndInOrder(t *testing.T) {
	in := guest(t, hashingGuest, nil)
	const onePage = shim.PageSize - shim.Tasks - shim.TaskHead
	rapid.Check(t, func(t *rapid.T) {
		// Sizes around the limits: of the copying, of a crossing, of the mailbox.
		size := rapid.OneOf(
			rapid.IntRange(0, 200), rapid.IntRange(500, 530),
			rapid.SampledFrom([]int{batchBytes - 8, batchBytes, onePage - 1, onePage, onePage + 1, 65536, 200000}))
		few := rapid.SliceOfN(size, 0, 20)
		many := rapid.SliceOfN(rapid.IntRange(0, 3), 0, 2500)
		sizes := rapid.OneOf(few, many).Draw(t, "sizes")
		seed := rapid.Uint32().Draw(t, "seed")
		tasks := make([][]byte, len(sizes))
		for i, n := range sizes {
			tasks[i] = make([]byte, n)
			for j := range tasks[i] {
				seed = seed*1664525 + 1013904223
				tasks[i][j] = byte(seed>>24) &^ 0x80
			}
		}
		checkHash(t, in, tasks)
	})
}

func TestEverySizeUpToAKilobyteIsCopiedExactly(t *testing.T) {
	in := guest(t, `(module
		(import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
		(memory (export "memory") 1)
		(func (export "run")
		  (memory.fill (i32.const 0) (i32.const 0xee) (i32.const 4096))
		  (drop (call $poll (i64.const 1001) (i32.const 2048)))))`, nil)
	for n := range 1025 {
		task := make([]byte, n)
		for i := range task {
			task[i] = byte(i*7 + n)
		}
		if _, err := in.Drive(context.Background(), [][]byte{task}); err != nil {
			t.Fatal(err)
		}
		want := strings.Repeat("\xee", 1001) + string(task) + strings.Repeat("\xee", 4096-1001-n)
		if got := string(view(in.context, in.memory)[:4096]); got != want {
			t.Fatalf("a task of %d bytes was not copied exactly", n)
		}
	}
}

func TestLargeTasks(t *testing.T) {
	for _, size := range []int{20 << 20, 100 << 20} {
		t.Run(fmt.Sprintf("%d MiB", size>>20), func(t *testing.T) {
			in := guest(t, hashingGuest, nil)
			large := make([]byte, size)
			for i := range large {
				large[i] = byte(i>>8+i) &^ 0x80
			}
			checkHash(t, in, [][]byte{[]byte("before"), large, []byte("after")})
			checkHash(t, in, [][]byte{large[:1000]})
		})
	}
}

// contractGuest runs one function of its own for each task: the first byte says
// which.
const contractGuest = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $size (result i32)))
  (memory (export "memory") 1)
  (global $early (mut i32) (i32.const 0))
  (func (export "_initialize")
    (global.set $early (i32.and (call $poll (i64.const 0) (i32.const 100)) (call $size))))
  (func $first (result i32)
    (drop (call $poll (i64.const 64) (i32.const 1024)))
    (i32.load8_u (i32.const 64)))
  (func (export "run") (result i32) (local $c i32)
    (if (i32.eqz (call $size)) (then
      (return (i32.add (call $poll (i64.const 0) (i32.const 0)) (call $size)))))
    (if (i32.eq (call $size) (i32.const 3)) (then ;; not polled
      (return (i32.const 0))))
    (if (i32.eq (call $size) (i32.const 5)) (then
      ;; too small, negative, and then right
      (if (i32.ne (call $poll (i64.const 0) (i32.const 4)) (i32.const -1)) (then (return (i32.const 1))))
      (if (i32.ne (call $poll (i64.const 0) (i32.const -1)) (i32.const -1)) (then (return (i32.const 2))))
      (if (i32.ne (call $poll (i64.const 0xffffffffffff) (i32.const 4)) (i32.const -1)) (then (return (i32.const 3))))
      (if (i32.ne (call $size) (i32.const 5)) (then (return (i32.const 4))))
      (return (i32.sub (call $poll (i64.const 0) (i32.const 5)) (i32.const 5)))))
    (if (i32.eq (call $size) (i32.const 6)) (then
      ;; at the very end of memory
      (return (i32.sub (call $poll (i64.const 65530) (i32.const 100)) (i32.const 6)))))
    (local.set $c (call $first))
    (if (i32.eq (local.get $c) (i32.const 0x65)) (then (return (global.get $early)))) ;; e
    (if (i32.eq (local.get $c) (i32.const 0x61)) (then ;; a: again
      (return (i32.add (call $poll (i64.const 0) (i32.const 100)) (call $size)))))
    (if (i32.eq (local.get $c) (i32.const 0x72)) (then (return (i32.const -7)))) ;; r
    (i32.const 0)))`

func TestContract(t *testing.T) {
	for _, c := range []struct {
		name   string
		tasks  []string
		n      int
		result int32 // of task n, where n is not all
	}{
		{"a task that was polled counts as done", []string{"x"}, 1, 0},
		{"a task that was not polled counts as done, and the next one is another", []string{"???", "e"}, 1, -1},
		{"outside of run there is no task", []string{"e"}, 0, -1},
		{"a task can be polled once", []string{"a"}, 0, -2},
		{"a buffer that is too small leaves the task in place", []string{"12345", "x"}, 2, 0},
		{"a task may end where memory ends", []string{"123456", "x"}, 2, 0},
		{"an empty task has size 0, and is taken by a poll with an empty buffer", []string{""}, 0, -1},
		{"a result other than 0 ends the batch at its task", []string{"x", "x", "r", "x"}, 2, -7},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := guest(t, contractGuest, nil)
			n, err := drive(in, c.tasks...)
			var result *ResultError
			switch {
			case c.n == len(c.tasks) && (n != c.n || err != nil),
				c.n < len(c.tasks) && (n != c.n || !errors.As(err, &result) || result.Code != c.result):
				t.Fatalf("Drive = %d, %v; want %d, result %d", n, err, c.n, c.result)
			}
			if !in.Alive() {
				t.Error("the instance is dead")
			}
			if n, err := drive(in, "next"); n != 1 || err != nil {
				t.Errorf("the next task: %d, %v", n, err)
			}
		})
	}
}

func TestPollOutsideOfMemory(t *testing.T) {
	for _, c := range []struct {
		name string
		addr uint64
		ok   bool
	}{
		{"the last place where it fits", 131072 - 4, true},
		{"a byte too far", 131072 - 3, false},
		{"just behind memory", 131072, false},
		{"far behind memory", 0xfffffffc, false},
		{"over 4 GiB, whose low half would be in memory", 1<<32 + 64, false},
		{"so high that the end wraps around", 1<<64 - 2, false},
		{"a negative number", 1<<63 + 5, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := guest(t, fmt.Sprintf(`(module
				(import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
				(memory (export "memory") 2)
				(func $asks (drop (call $poll (i64.const %d) (i32.const 99))))
				(func (export "run") (call $asks)))`, int64(c.addr)), nil)
			n, err := drive(in, "task", "next")
			if c.ok {
				if n != 2 || err != nil {
					t.Fatalf("Drive = %d, %v", n, err)
				}
				return
			}
			var trap *TrapError
			if n != 0 || !errors.As(err, &trap) {
				t.Fatalf("Drive = %d, %v; want a trap", n, err)
			}
			want := fmt.Sprintf("poll_task was given address 0x%x for 4 bytes, which is outside the guest's memory of 131072 bytes", c.addr)
			if trap.Reason != want {
				t.Errorf("reason %q, want %q", trap.Reason, want)
			}
			if len(trap.Backtrace) != 2 || trap.Backtrace[0].Func != "asks" || trap.Backtrace[1].Index != 2 {
				t.Errorf("backtrace %v, want asks and function 2", trap.Backtrace)
			}
			if trap.Memory != 131072 || trap.Limit != DefaultMemoryLimit || in.Alive() {
				t.Errorf("memory %d of %d, alive %v", trap.Memory, trap.Limit, in.Alive())
			}
			if n, err := drive(in, "x"); n != 0 || !errors.Is(err, ErrDead) {
				t.Errorf("a dead instance: %d, %v", n, err)
			}
		})
	}
}

func TestDriveAllocatesNothing(t *testing.T) {
	in := guest(t, pollingGuest, nil)
	ctx := t.Context() // one that can end, as a consumer's
	for _, batch := range []int{1, 256, 5000} {
		tasks := benchTasks(batch, 100)
		if a := testing.AllocsPerRun(100, func() {
			if n, err := in.Drive(ctx, tasks); n != batch || err != nil {
				t.Fatal(n, err)
			}
		}); a != 0 {
			t.Errorf("%v allocations for a batch of %d", a, batch)
		}
	}
}

func TestAnEmptyBatchIsDone(t *testing.T) {
	in := guest(t, pollingGuest, nil)
	if n, err := in.Drive(context.Background(), nil); n != 0 || err != nil {
		t.Errorf("Drive = %d, %v", n, err)
	}
}
