package wasihost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	pollImport = `(import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))`
	aMemory    = `(memory (export "memory") 1)`
	aRun       = `(func (export "run"))`
)

func TestContractProblems(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields string
		want   []string // a part of each problem, in order
	}{
		{"a module that follows the contract", pollImport + aMemory + aRun, nil},
		{"run may return an i32", pollImport + aMemory + `(func (export "run") (result i32) (i32.const 0))`, nil},
		{"no memory", pollImport + aRun, []string{`it does not export its memory as "memory"`}},
		{"something else by the name of memory", pollImport + `(func (export "memory"))` + aRun, []string{"export memory: it is a func, and must be a memory"}},
		{"no run: the flags for each language are named", pollImport + aMemory,
			[]string{`it does not export "run". Rust: #[no_mangle] pub extern "C" fn run() in a crate of type cdylib; Go: //go:wasmexport run, built with -buildmode=c-shared; C: __attribute__((export_name("run"))), built with -mexec-model=reactor (or -Wl,--export=run)`}},
		{"a command", pollImport + aMemory + `(func (export "_start"))`, []string{"it is a command, with a main function"}},
		{"a command that has run too", pollImport + aMemory + aRun + `(func (export "_start"))`, nil},
		{"run with parameters", pollImport + aMemory + `(func (export "run") (param i32))`, []string{"export run: it has type (i32), and must have () or () -> i32"}},
		{"run with another result", pollImport + aMemory + `(func (export "run") (result i64) (i64.const 0))`, []string{"export run: it has type () -> i64"}},
		{"run that is a global", pollImport + aMemory + `(global (export "run") i32 (i32.const 0))`, []string{"export run: it is a global, and must be a func"}},
		{"_initialize with a result", pollImport + aMemory + aRun + `(func (export "_initialize") (result i32) (i32.const 0))`, []string{"export _initialize: it has type () -> i32, and must have ()"}},
		{"no poll_task", aMemory + aRun, []string{"it does not import decaton.poll_task (i64, i32) -> i32, so it could never see a task"}},
		{"poll_task of another type", `(import "decaton" "poll_task" (func (param i32 i32) (result i32)))` + aMemory + aRun,
			[]string{"import decaton.poll_task: it is imported with type (i32, i32) -> i32, and has type (i64, i32) -> i32"}},
		{"poll_task that is no function", `(import "decaton" "poll_task" (global i32))` + aMemory + aRun,
			[]string{"import decaton.poll_task: it is imported as a global, and is a function (i64, i32) -> i32"}},
		{"imports that do not exist, all at once", pollImport + aMemory + aRun + `
			(import "decaton" "emit" (func))
			(import "env" "foo" (func (param f32 f64)))
			(import "env" "abort" (func (param i32 i32 i32 i32)))
			(import "env" "memory" (memory 1))
			(import "wasi_snapshot_preview1" "fd_wirte" (func))
			(import "wasi_snapshot_preview1" "sock_open" (func))
			(import "wasi_snapshot_preview1" "teleport" (func))
			(import "wasi_unstable" "fd_write" (func))
			(import "wasi:cli/run@0.2.0" "run" (func))
			(import "wasi" "thread-spawn" (func))
			(import "gojs" "runtime.wasmExit" (func))
			(import "__wbindgen_placeholder__" "x" (func))
			(import "host" "poll" (func (param i32 i32 i32 i32 i32 i64) (result i32)))
			(import "host" "drain" (func (param i32)))
			(import "front" "table" (table 1 funcref))
			(import "" "" (func))`,
			[]string{
				"import decaton.emit: there is no such function; decaton has poll_task",
				"import env.foo: there is no such function: most likely a symbol that was left undefined",
				"import env.abort: build AssemblyScript with --use abort=",
				"import env.memory: ",
				"import wasi_snapshot_preview1.fd_wirte: there is no such function; did you mean fd_write?",
				"import wasi_snapshot_preview1.sock_open: there is no such function: guests cannot open connections",
				"import wasi_snapshot_preview1.teleport: there is no such function in WASI preview 1",
				"import wasi_unstable.fd_write: this is an early form of WASI",
				"import wasi:cli/run@0.2.0.run: this is WASI preview 2: build for wasm32-wasip1",
				"import wasi.thread-spawn: there are no threads",
				"import gojs.runtime.wasmExit: the module was built for a browser: build with GOOS=wasip1",
				"import __wbindgen_placeholder__.x: the module was built for a browser with wasm-bindgen",
				`import host.poll: there is no module "host"; guests may import from decaton and wasi_snapshot_preview1`,
				"import host.drain: ", "import front.table: ", "import .: ",
			}},
		{"problems of both kinds", `(import "wasi_snapshot_preview1" "fd_close" (func))`,
			[]string{"import wasi_snapshot_preview1.fd_close: it is imported with type (), and has type (i32) -> i32", `as "memory"`, `"run"`, "poll_task"}},
		{"two memories", pollImport + aMemory + aRun + `(memory 1)`, []string{"it has 2 memories, and a guest may have one"}},
		{"a start function that calls nothing of the host's", pollImport + aMemory + aRun + `(global $g (mut i32) (i32.const 0))
			(func $init (global.set $g (i32.const 1))) (start $init)`, nil},
		{"a start function that could call the host and does not", pollImport + aMemory + aRun + `
			(func $init (if (i32.const 0) (then (drop (call $poll (i64.const 0) (i32.const 0)))))) (start $init)`, nil},
		{"a start function that calls the host", pollImport + aMemory + aRun + `
			(func $helper (drop (call $poll (i64.const 0) (i32.const 0)))) (func $init (call $helper)) (start $init)`,
			[]string{"its start function calls the host (poll_task), which is not there yet: do that in an exported _initialize instead"}},
		{"a start function that writes", pollImport + `(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))` + aMemory + aRun + `
			(func $init (drop (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))) (start $init)`,
			[]string{"its start function calls the host (fd_write)"}},
		{"a start function that is the import itself", `(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))` + pollImport + aMemory + aRun +
			`(func $own (call_indirect (i32.const 0))) (table 1 funcref) (start $own)`, nil}, // traps, which Check leaves to Instantiate
	} {
		t.Run(c.name, func(t *testing.T) {
			// Imports come first in a module's text.
			imports, rest := splitImports(c.fields)
			m := compile(t, testEngine, "(module "+imports+rest+")")
			err := m.Check()
			if len(c.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var link *LinkError
			if !errors.As(err, &link) || len(link.Problems) != len(c.want) {
				t.Fatalf("%v; want %d problems", err, len(c.want))
			}
			for i, p := range link.Problems {
				if !strings.Contains(p, c.want[i]) {
					t.Errorf("problem %q, want %q", p, c.want[i])
				}
			}
			if !strings.HasPrefix(err.Error(), "guest.wat: ") {
				t.Errorf("the error does not name the module: %v", err)
			}
			if _, instErr := m.Instantiate(context.Background(), nil); instErr == nil || instErr.Error() != err.Error() {
				t.Errorf("Instantiate says %v, Check %v", instErr, err)
			}
			if n, err := drive(guest(t, pollingGuest, nil), "next"); n != 1 || err != nil {
				t.Errorf("the host afterwards: %d, %v", n, err)
			}
		})
	}
}

func splitImports(fields string) (imports, rest string) {
	for fields != "" {
		depth, end := 0, 0
		for i, c := range fields {
			if c == '(' {
				depth++
			}
			if c == ')' {
				if depth--; depth == 0 {
					end = i + 1
					break
				}
			}
		}
		field := strings.TrimSpace(fields[:end])
		if end == 0 {
			return imports, rest
		}
		if strings.HasPrefix(field, "(import") {
			imports += field + "\n"
		} else {
			rest += field + "\n"
		}
		fields = fields[end:]
	}
	return imports, rest
}

func TestSymbols(t *testing.T) {
	m := compile(t, testEngine, `(module
		(import "decaton" "poll_task" (func (param i64 i32) (result i32)))
		(import "env" "x" (global (mut f64)))
		(import "env" "f" (func (param v128 funcref externref) (result i32 i64)))
		(memory (export "memory") 2 5)
		(memory $other 3 3)
		(table (export "table") 4 funcref)
		(global (export "g") i64 (i64.const 1))
		(func (export "run") (param f32)))`)
	var got []string
	for _, s := range append(m.Imports(), m.Exports()...) {
		problem := ""
		if s.Problem != "" {
			problem = " !"
		}
		got = append(got, fmt.Sprintf("%s.%s %s %s%s", s.Module, s.Name, s.Kind, s.Type, problem))
	}
	want := []string{
		"decaton.poll_task func (i64, i32) -> i32",
		"env.x global f64, mutable !",
		"env.f func (v128, funcref, externref) -> (i32, i64) !",
		".memory memory 2 to 5 pages",
		".table table funcref, 4 elements or more",
		".g global i64",
		".run func (f32) !",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if m.Name() != "guest.wat" || m.Size() == 0 || m.CompileTime() <= 0 || m.Digest() == [32]byte{} {
		t.Errorf("%q, %d bytes, %v, %x", m.Name(), m.Size(), m.CompileTime(), m.Digest())
	}
}

// TestEveryImportLinks calls each, with zeros: it links, has its type, and harms
// nobody.
func TestEveryImportLinks(t *testing.T) {
	for _, f := range importables {
		t.Run(f.module+"."+f.name, func(t *testing.T) {
			alone := compile(t, testEngine, fmt.Sprintf(`(module
				(import "decaton" "poll_task" (func (param i64 i32) (result i32)))
				(import %q %q (func %s))
				(memory (export "memory") 1)
				(func (export "run")))`, f.module, f.name, watType(f.typ.Params(), f.typ.Results())))
			if n, err := drive(start(t, alone, nil), "x"); n != 1 || err != nil {
				t.Fatalf("Drive = %d, %v", n, err)
			}
			p := newPuppet(t, nil)
			zeros := make([]any, len(f.typ.Params()))
			for i := range zeros {
				zeros[i] = 0
			}
			if _, err := p.try(f.name, zeros...); err != nil {
				var exit *ExitError
				var trap *TrapError
				switch {
				case f.name == "proc_exit" && errors.As(err, &exit):
				case f.name == "proc_raise" && errors.As(err, &trap) && trap.Reason == "proc_raise unsupported":
				default:
					t.Error(err)
				}
			}
		})
	}
}

func TestAGuestMayImportANameTwice(t *testing.T) {
	in := guest(t, `(module
		(import "decaton" "poll_task" (func $a (param i64 i32) (result i32)))
		(import "wasi_snapshot_preview1" "sched_yield" (func $y1 (result i32)))
		(import "decaton" "poll_task" (func $b (param i64 i32) (result i32)))
		(import "wasi_snapshot_preview1" "sched_yield" (func $y2 (result i32)))
		(memory (export "memory") 1)
		(func (export "run") (result i32)
		  (drop (i32.add (call $y1) (call $y2)))
		  ;; the task is taken by the one, so the other finds none
		  (i32.add (i32.shl (call $a (i64.const 0) (i32.const 9)) (i32.const 8)) (call $b (i64.const 0) (i32.const 9)))))`, nil)
	var result *ResultError
	if _, err := drive(in, "abc"); !errors.As(err, &result) || result.Code != 3<<8-1 {
		t.Error(err)
	}
	m := compile(t, testEngine, `(module
		(import "decaton" "poll_task" (func (param i64 i32) (result i32)))
		(import "decaton" "poll_task" (func (param i32 i32) (result i32)))
		(import "decaton" "poll_task" (func))
		(memory (export "memory") 1)
		(func (export "run")))`)
	var link *LinkError
	if err := m.Check(); !errors.As(err, &link) || len(link.Problems) != 2 {
		t.Errorf("the same name with other types: %v", err)
	}
}

func TestModulesThatNeedTheSameShareAShim(t *testing.T) {
	e := stillEngine(t)
	in := func(text string) {
		if err := compile(t, e, text).Check(); err != nil {
			t.Fatal(err)
		}
	}
	const write = `(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))`
	in("(module " + pollImport + write + aMemory + aRun + ")")
	in("(module " + write + pollImport + aMemory + aRun + "(func))")
	if len(e.variants) != 1 {
		t.Errorf("%d variants, want 1", len(e.variants))
	}
	in("(module " + pollImport + aMemory + aRun + ")")
	if len(e.variants) != 2 {
		t.Errorf("%d variants, want 2", len(e.variants))
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"fd_wirte", "fd_write", 2}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
