package wasihost

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/wasmton/wasmton/wasihost/shim"
)

func TestLimitsHaveBounds(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want string // "" for none
	}{
		{Config{TableLimit: 1, MaxOpenFiles: 1, LogLimit: 1}, ""},
		{Config{TableLimit: maxTable, MaxOpenFiles: maxOpenFiles, LogLimit: math.MaxInt64}, ""},
		{Config{TableLimit: -1}, "table limit of -1 elements"},
		{Config{TableLimit: maxTable + 1}, "it must be between 1 and 16777216"},
		{Config{MaxOpenFiles: -1}, "-1 open files"},
		{Config{MaxOpenFiles: 257}, "there must be between 1 and 256"},
		{Config{LogLimit: -1}, "log limit of -1 bytes"},
	} {
		err := tc.cfg.Check()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.cfg, err, tc.want)
		}
	}
	if room := shim.FDMax - firstDir - maxDirs; room < maxOpenFiles || maxOpenFiles < DefaultMaxOpenFiles || maxTable < DefaultTableLimit {
		t.Errorf("%d open files fit, and at most %d are allowed", room, maxOpenFiles)
	}
}

func TestTheLeastElementsOfTables(t *testing.T) {
	m := compile(t, testEngine, `(module (table 5 9 funcref) (table 300 externref) (table 0 1000 funcref))`)
	if want := []uint64{5, 300, 0}; !slices.Equal(m.outline.Tables, want) {
		t.Errorf("%v, want %v", m.outline.Tables, want)
	}
	// What is cut off says nothing wrong.
	for _, body := range [][]byte{nil, {0x80}, {1}, {1, 0x70}, {1, 0x70, 0}, {1, 0x70, 0, 0x80}, {0xff, 0xff, 0xff, 0xff, 0x0f}} {
		if got := leastElements(body); len(got) > 0 {
			t.Errorf("% x: %v", body, got)
		}
	}
}

func TestTablesGrowUpToTheLimit(t *testing.T) {
	text := strings.Replace(growingGuest, `(memory (export "memory") 1)`, `(memory (export "memory") 1) (table $wanted 100 funcref)`, 1)
	m := compile(t, testEngine, text)
	if !slices.Contains(m.outline.Tables, 100) {
		t.Fatalf("the guest's tables have %v elements", m.outline.Tables)
	}
	_, err := m.Instantiate(t.Context(), &Config{TableLimit: 99})
	var limit *LimitError
	if !errors.As(err, &limit) || limit.What != TableElements || limit.Need != 100 || limit.Limit != 99 {
		t.Errorf("a table of 100 where 99 are allowed: %v", err)
	}
	start(t, m, &Config{TableLimit: 100})

	grower := compile(t, testEngine, `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
  (memory (export "memory") 1) (table $t 0 funcref)
  (func (export "run") (result i32)
    (drop (call $poll (i64.const 0) (i32.const 8)))
    (table.grow $t (ref.null func) (i32.load (i32.const 0)))))`)
	start(t, grower, &Config{TableLimit: 1}) // the front's has two
	in := start(t, grower, &Config{TableLimit: 10})
	grow := func(n, want int) {
		t.Helper()
		_, err := drive(in, string(rune(n)))
		got := 0
		if result, ok := errors.AsType[*ResultError](err); ok {
			got = int(result.Code)
		} else if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("table.grow(%d) = %d, want %d", n, got, want)
		}
	}
	grow(10, 0)
	grow(1, -1)
}

func TestOpenFilesAreLimited(t *testing.T) {
	dir := t.TempDir()
	for _, limit := range []int{1, 3, maxOpenFiles} {
		p := newPuppet(t, &Config{Dirs: []Dir{{Host: dir, Guest: "/d"}}, MaxOpenFiles: limit})
		for i := range limit {
			if errno, _ := p.open(3, ".", oDirectory, 0, 0); errno != 0 {
				t.Fatalf("file %d of %d: errno %d", i+1, limit, errno)
			}
		}
		if errno, _ := p.open(3, ".", oDirectory, 0, 0); errno != errMfile {
			t.Errorf("one more than %d: errno %d, want %d", limit, errno, errMfile)
		}
		p.want(0, "fd_close", 4)
		if errno, _ := p.open(3, ".", oDirectory, 0, 0); errno != 0 {
			t.Errorf("after one was closed: errno %d", errno)
		}
	}
}

// sayingGuest writes its task to standard output, checks that all of it was taken, and
// traps where it begins with "!".
const sayingGuest = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 40)
  (func (export "run") (result i32)
    (local $n i32)
    (local.set $n (call $poll (i64.const 1024) (i32.const 2000000)))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (local.get $n))
    (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then (return (i32.const 1))))
    (if (i32.ne (i32.load (i32.const 8)) (local.get $n)) (then (return (i32.const 2))))
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 33)) (then (unreachable)))
    (i32.const 0)))`

func TestWhatATaskSaysIsLimited(t *testing.T) {
	m := compile(t, testEngine, sayingGuest)
	note := func(task int, n int64, limit string) string {
		return fmt.Sprintf("%d stderr %q", task, fmt.Sprintf("wasmton: %d more bytes of output were left out: --log-limit is %s", n, limit))
	}
	for _, tc := range []struct {
		name  string
		limit int64
		tasks []string
		want  []string
	}{
		{"within", 10, []string{"123456789\n", "1234567890"}, []string{`0 stdout "123456789"`, `1 stdout "1234567890"`}},
		{"each task has its own", 4, []string{"abc\ndef", "abc\ndef", "x\n", "12345"}, []string{
			`0 stdout "abc"`, note(0, 3, "4 B"), `1 stdout "abc"`, note(1, 3, "4 B"), `2 stdout "x"`, `3 stdout "1234"`, note(3, 1, "4 B"),
		}},
		{"in the middle of a line", 6, []string{"one\ntwo\nthree\n"}, []string{`0 stdout "one"`, `0 stdout "tw"`, note(0, 8, "6 B")}},
		{"the failed task too", 3, []string{"!234\n"}, []string{`0 stdout "!23"`, note(0, 2, "3 B")}},
		{"a flood", 5, []string{strings.Repeat("x\n", 500_000), "y"}, []string{
			`0 stdout "x"`, `0 stdout "x"`, `0 stdout "x"`, note(0, 999_995, "5 B"), `1 stdout "y"`,
		}},
		{"the default", 0, []string{strings.Repeat("x", 1<<20+1)}, slices.Concat(slices.Repeat([]string{
			fmt.Sprintf("0 stdout %q", strings.Repeat("x", maxLine)),
		}, 16), []string{note(0, 1, "1 MiB")})},
	} {
		var r recorder
		in := start(t, m, &Config{LogLimit: tc.limit, Output: r.output})
		n, err := drive(in, tc.tasks...)
		trapped := new(TrapError)
		if err != nil && (!errors.As(err, &trapped) || tc.tasks[n][0] != '!') {
			t.Fatalf("%s: task %d: %v", tc.name, n, err)
		}
		if !slices.Equal(r.lines, tc.want) {
			t.Errorf("%s: %d lines %.300q, want %.300q", tc.name, len(r.lines), r.lines, tc.want)
		}
	}
}

func TestWhatIsSaidAtTheStartIsLimited(t *testing.T) {
	var r recorder
	start(t, compile(t, testEngine, `(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\05\00\00\00hello")
  (func (export "_initialize") (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16))))
  (func (export "run")))`), &Config{LogLimit: 2, Output: r.output})
	want := []string{`-1 stderr "he"`, `-1 stderr "wasmton: 3 more bytes of output were left out: --log-limit is 2 B"`}
	if !slices.Equal(r.lines, want) {
		t.Errorf("%q, want %q", r.lines, want)
	}
}

func TestStackLimits(t *testing.T) {
	for _, tc := range []struct {
		asked, thread, want int64
		refused             string
	}{
		{0, 8 << 20, 1 << 20, ""},
		{0, 0, 1 << 20, ""},
		{0, 1 << 20, 512 << 10, ""},
		{0, 1000, 64 << 10, ""},
		{64 << 10, 8 << 20, 64 << 10, ""},
		{4 << 20, 8 << 20, 4 << 20, ""},
		{4 << 20, 0, 4 << 20, ""},
		{1, 8 << 20, 0, "between 64 KiB and 4 MiB"},
		{-1, 8 << 20, 0, "between 64 KiB and 4 MiB"},
		{4<<20 + 1, 1 << 40, 0, "between 64 KiB and 4 MiB"},
		{1<<20 + 1, 2 << 20, 0, "at most half of a thread's stack, which is 2 MiB here (ulimit -s sets it)"},
	} {
		got, err := stackWithin(tc.asked, tc.thread)
		if got != tc.want || (err == nil) != (tc.refused == "") || err != nil && !strings.Contains(err.Error(), tc.refused) {
			t.Errorf("stackWithin(%d, %d) = %d, %v", tc.asked, tc.thread, got, err)
		}
	}
	if _, err := NewEngineWith(EngineConfig{StackLimit: 1}); err == nil {
		t.Error("an engine with a stack of a byte")
	}
}

// TestTheStackLimitHolds recurses as deep as two limits allow.
func TestTheStackLimitHolds(t *testing.T) {
	const text = `(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $deep (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))) (call $deep))
  (func (export "run") (call $deep)))`
	depth := func(limit int64) uint32 {
		in := start(t, compile(t, engineWith(t, EngineConfig{StackLimit: limit}), text), nil)
		_, err := drive(in, "")
		var trap *TrapError
		want := fmt.Sprintf("; the stack is limited to %s, --stack-limit sets the limit (", bytesText(limit))
		if !errors.As(err, &trap) || trap.Stack != limit || !strings.Contains(err.Error(), want) {
			t.Fatalf("%v, want a trap with %q", err, want)
		}
		return mailbox(view(in.context, in.memory)).word(0)
	}
	small, large := depth(128<<10), depth(512<<10)
	if small < 100 || large < 3*small {
		t.Errorf("%d calls in 128 KiB, %d in 512 KiB", small, large)
	}
	// Other traps say nothing of it.
	_, err := drive(guest(t, `(module (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (memory (export "memory") 1) (func (export "run") unreachable))`, nil), "")
	if err == nil || strings.Contains(err.Error(), "stack") {
		t.Error(err)
	}
}
