package wasihost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// trappingGuest does what its task says, and traps in a function of its own.
func trappingGuest(body string) string {
	return `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $size (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fdstat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_get" (func $filestat (param i32 i32) (result i32)))
  (type $none (func))
  (memory (export "memory") 1)
  (table $t 4 funcref)
  (elem (i32.const 1) $size)
  (func $work ` + body + `)
  (func (export "run") (if (call $size) (then (call $work)))))`
}

func TestTraps(t *testing.T) {
	for _, c := range []struct{ name, body, reason string }{
		{"unreachable", `unreachable`, "unreachable instruction executed (an abort, a panic or a failed assertion)"},
		{"a load out of bounds", `(drop (i32.load (i32.const 65533)))`, "memory access out of bounds"},
		{"a division by zero", `(drop (i32.div_s (i32.const 1) (i32.const 0)))`, "integer division by zero"},
		{"an overflow", `(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))`, "integer overflow in a division or conversion"},
		{"a conversion", `(drop (i32.trunc_f32_s (f32.const nan)))`, "conversion to integer of a number out of range or not a number"},
		{"a null function pointer", `(call_indirect (type $none) (i32.const 0))`, "call of a null function pointer"},
		{"a function pointer of another type", `(call_indirect (type $none) (i32.const 1))`, "call of a function pointer with the wrong type"},
		{"a function pointer out of the table", `(call_indirect (type $none) (i32.const 9))`, "table access out of bounds"},
		{"a native call with a bad pointer", `(drop (call $sizes (i32.const 65536) (i32.const 0)))`,
			"In func wasi_snapshot_preview1::args_sizes_get at write size: Pointer out of bounds: Region { start: 65536, len: 4 }"},
		{"an fdstat behind memory", `(drop (call $fdstat (i32.const 1) (i32.const 65520)))`,
			"fd_fdstat_get was given address 0xfff0 for 24 bytes, which is outside the guest's memory of 65536 bytes"},
		{"a filestat behind memory", `(drop (call $filestat (i32.const 2) (i32.const -1)))`,
			"fd_filestat_get was given address 0xffffffff for 64 bytes, which is outside the guest's memory of 65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := compile(t, testEngine, trappingGuest(c.body))
			in := start(t, m, nil)
			n, err := drive(in, "", "", "x", "")
			var trap *TrapError
			if n != 2 || !errors.As(err, &trap) || trap.Reason != c.reason {
				t.Fatalf("Drive = %d, %v; want 2, %s", n, err, c.reason)
			}
			if len(trap.Backtrace) != 2 || trap.Backtrace[0].Func != "work" || trap.Backtrace[0].Offset == 0 || trap.Backtrace[1].Func != "" {
				t.Errorf("backtrace %v", trap.Backtrace)
			}
			if trap.Memory != 65536 || trap.Limit != DefaultMemoryLimit || in.Alive() || in.MemoryUse() != 65536 {
				t.Errorf("memory %d of %d, alive %v", trap.Memory, trap.Limit, in.Alive())
			}
			if !strings.HasPrefix(err.Error(), "the guest trapped: "+c.reason+" (it had 64 KiB of 256 MiB memory)\n    at work @0x") {
				t.Errorf("%q", err)
			}
			if n, err := drive(in, ""); n != 0 || !errors.Is(err, ErrDead) {
				t.Errorf("a dead instance: %d, %v", n, err)
			}
			if n, err := drive(start(t, m, nil), ""); n != 1 || err != nil {
				t.Errorf("the next instance: %d, %v", n, err)
			}
		})
	}
}

func TestRecursionWithoutEnd(t *testing.T) {
	in := guest(t, trappingGuest(`(call $work)`), nil)
	_, err := drive(in, "x")
	var trap *TrapError
	if !errors.As(err, &trap) || !strings.HasPrefix(trap.Reason, "call stack exhausted") || len(trap.Backtrace) != 64 {
		t.Fatalf("%d frames, %.200v", len(trap.Backtrace), err)
	}
	if len(err.Error()) > 4096 {
		t.Errorf("a message of %d bytes", len(err.Error()))
	}
	// Its frames deep in the stack, a native call that fails.
	in = guest(t, strings.Replace(trappingGuest(`(global.set $n (i32.add (global.get $n) (i32.const 1)))
		(if (i32.eq (global.get $n) (i32.const 2000)) (then (drop (call $sizes (i32.const -4) (i32.const 0)))))
		(call $work)`), "(type $none", "(global $n (mut i32) (i32.const 0)) (type $none", 1), nil)
	if _, err = drive(in, "x"); !errors.As(err, &trap) || !strings.HasPrefix(trap.Reason, "In func wasi_snapshot_preview1::args_sizes_get") || len(trap.Reason) > 200 {
		t.Errorf("%.300v", err)
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ symbol, want string }{
		{"_ZN14rust_processor3run17h0123456789abcdefE", "rust_processor::run"},
		{"_ZN4core9panicking9panic_fmt17hd8ac0ce0b0ed1eabE", "core::panicking::panic_fmt"},
		{"_RNvC6_123foo3bar", "123foo::bar"},
		{"_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)"},
		{"main.run", "main.run"},
		{"plain", "plain"},
		{"", ""},
	} {
		if got := readable(c.symbol); got != c.want {
			t.Errorf("readable(%q) = %q, want %q", c.symbol, got, c.want)
		}
	}
	if got := readable(strings.Repeat("é", 1000)); len(got) > 510 || !strings.HasSuffix(got, "…") {
		t.Errorf("a long name has %d bytes", len(got))
	}
	if got := readable("a\xffb"); got != "a?b" {
		t.Errorf("%q", got)
	}
	in := guest(t, strings.ReplaceAll(trappingGuest("unreachable"), "$work", "$_ZN5guest4work17h0123456789abcdefE"), nil)
	var trap *TrapError
	if _, err := drive(in, "x"); !errors.As(err, &trap) || trap.Backtrace[0].Func != "guest::work" {
		t.Error(err)
	}
}

func TestExit(t *testing.T) {
	for _, status := range []int32{0, 1, 125, 126, 255, -1, 1 << 30} {
		body := fmt.Sprintf("(call $exit (i32.const %d)) unreachable", status)
		t.Run(fmt.Sprintf("with status %d in run", status), func(t *testing.T) {
			m := compile(t, testEngine, trappingGuest(body))
			in := start(t, m, nil)
			n, err := drive(in, "", "x", "")
			var exit *ExitError
			if n != 1 || !errors.As(err, &exit) || exit.Status != status || in.Alive() {
				t.Errorf("Drive = %d, %v, alive %v", n, err, in.Alive())
			}
			if n, err := drive(start(t, m, nil), ""); n != 1 || err != nil {
				t.Errorf("the next instance: %d, %v", n, err)
			}
		})
		t.Run(fmt.Sprintf("with status %d in _initialize", status), func(t *testing.T) {
			m := compile(t, testEngine, strings.Replace(trappingGuest(body), "(func (export \"run\")", `(export "_initialize" (func $work)) (func (export "run")`, 1))
			_, err := m.Instantiate(context.Background(), nil)
			var exit *ExitError
			want := fmt.Sprintf("guest.wat: in _initialize: the guest exited with status %d (a processor returns from run instead)", status)
			if !errors.As(err, &exit) || exit.Status != status || err.Error() != want {
				t.Error(err)
			}
		})
	}
}

func TestTrapsBeforeTheFirstTask(t *testing.T) {
	trapping := trappingGuest("unreachable")
	for _, c := range []struct{ name, text, want string }{
		{"in _initialize", strings.Replace(trapping, "(func (export \"run\")", `(export "_initialize" (func $work)) (func (export "run")`, 1), "guest.wat: in _initialize: the guest trapped: unreachable"},
		{"in the start function", strings.Replace(trapping, "(func (export \"run\")", `(start $work) (func (export "run")`, 1), "guest.wat: in its start function: the guest trapped: unreachable"},
		{"in a data segment", strings.Replace(trapping, "(func (export \"run\")", `(data (i32.const 65535) "ab") (func (export "run")`, 1), "guest.wat: in its start function: the guest trapped: memory access out of bounds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := compile(t, testEngine, c.text).Instantiate(context.Background(), nil)
			var trap *TrapError
			if !errors.As(err, &trap) || !strings.HasPrefix(err.Error(), c.want) {
				t.Error(err)
			}
		})
	}
}

func TestErrorTexts(t *testing.T) {
	full := &TrapError{Reason: "unreachable", Memory: 200 << 20, Limit: 256 << 20, Backtrace: []Frame{{Func: "f", Index: 3, Offset: 0x10}, {Index: 4, Offset: 0x20}}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{full, "the guest trapped: unreachable (it had 200 MiB of 256 MiB memory; --memory-limit sets the limit)\n    at f @0x10\n    at function 4 @0x20"},
		{&ResultError{Code: -3}, "the guest's run returned -3 (0 is success)"},
		{&LinkError{Name: "x.wasm", Problems: []string{"a", "b"}}, "x.wasm: 2 problems:\n  - a\n  - b"},
		{&LinkError{Name: "x.wasm", Problems: []string{"a"}}, "x.wasm: a"},
		{&FormatError{Name: "x.wasm", Reason: "a"}, "x.wasm: a"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%T: %q, want %q", c.err, got, c.want)
		}
	}
	for _, c := range []struct {
		n    int64
		want string
	}{{0, "0 B"}, {1023, "1023 B"}, {1 << 10, "1 KiB"}, {1536, "1.5 KiB"}, {1 << 20, "1 MiB"}, {4 << 30, "4 GiB"}, {1<<30 + 1<<29, "1.5 GiB"}} {
		if got := bytesText(c.n); got != c.want {
			t.Errorf("bytesText(%d) = %q, want %q", c.n, got, c.want)
		}
	}
}
