package wasihost

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

// pollingGuest polls its task and does nothing with it.
const pollingGuest = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "run")
    (drop (call $poll (i64.const 1024) (i32.const 4096)))))`

// naive is the way that the shim is measured against, and it stays as it is: the
// import is a Go function that finds the guest's memory through its caller, and a
// task is one call of run.
type naive struct {
	store *wt.Store
	run   *wt.Func
	task  []byte
}

func newNaive(b *testing.B) *naive {
	b.Helper()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	cfg := wt.NewConfig()
	cfg.SetEpochInterruption(true)
	engine := wt.NewEngineWithConfig(cfg)
	binary, err := wt.Wat2Wasm(pollingGuest)
	must(err)
	module, err := wt.NewModule(engine, binary)
	must(err)
	n := &naive{store: wt.NewStore(engine)}
	n.store.SetEpochDeadline(1 << 40)
	linker := wt.NewLinker(engine)
	must(linker.FuncWrap("decaton", "poll_task", func(c *wt.Caller, addr int64, size int32) int32 {
		if n.task == nil || len(n.task) > int(size) {
			return -1
		}
		memory := c.GetExport("memory").Memory().UnsafeData(c)
		copied := copy(memory[addr:], n.task)
		n.task = nil
		return int32(copied)
	}))
	instance, err := linker.Instantiate(n.store, module)
	must(err)
	n.run = instance.GetFunc(n.store, "run")
	return n
}

func (n *naive) process(tasks [][]byte) error {
	for _, t := range tasks {
		n.task = t
		if _, err := n.run.Call(n.store); err != nil {
			return err
		}
	}
	return nil
}

func benchTasks(n, size int) [][]byte {
	tasks := make([][]byte, n)
	for i := range tasks {
		tasks[i] = make([]byte, size)
	}
	return tasks
}

// BenchmarkTask gives ns a task of 100 bytes, copying included.
func BenchmarkTask(b *testing.B) {
	b.Run("naive", func(b *testing.B) {
		n := newNaive(b)
		tasks := benchTasks(256, 100)
		b.ReportAllocs()
		for i := 0; i < b.N; i += len(tasks) {
			if err := n.process(tasks[:min(len(tasks), b.N-i)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, batch := range []int{1, 16, 256, 1024} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			in := benchInstance(b, pollingGuest)
			tasks := benchTasks(batch, 100)
			ctx := context.Background()
			b.ReportAllocs()
			for i := 0; i < b.N; i += len(tasks) {
				if _, err := in.Drive(ctx, tasks[:min(len(tasks), b.N-i)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTaskSize shows what the copying costs, at 256 tasks a batch.
func BenchmarkTaskSize(b *testing.B) {
	for _, size := range []int{0, 8, 32, 100, 300, 1000, 4000} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			in := benchInstance(b, pollingGuest)
			tasks := benchTasks(256, size)
			ctx := context.Background()
			for i := 0; i < b.N; i += len(tasks) {
				if _, err := in.Drive(ctx, tasks[:min(len(tasks), b.N-i)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLine gives ns a task that writes a line of 100 bytes, at 256 a batch.
func BenchmarkLine(b *testing.B) {
	m := benchModule(b, talkingGuest)
	lines := 0
	in, err := m.Instantiate(context.Background(), &Config{Output: func(int, Stream, []byte) { lines++ }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(in.Close)
	tasks := benchTasks(256, 101)
	for _, t := range tasks {
		copy(t, strings.Repeat("x", 100)+"\n")
	}
	b.ReportAllocs()
	for i := 0; i < b.N; i += len(tasks) {
		if _, err := in.Drive(context.Background(), tasks[:min(len(tasks), b.N-i)]); err != nil {
			b.Fatal(err)
		}
	}
	if lines < b.N {
		b.Errorf("%d lines of %d tasks", lines, b.N)
	}
}

// BenchmarkTrap gives the cost of a task that traps: the error, the instance's end,
// and another instance.
func BenchmarkTrap(b *testing.B) {
	for _, c := range []struct{ name, body string }{{"unreachable", "unreachable"}, {"recursion", "(call $work)"}} {
		b.Run(c.name, func(b *testing.B) {
			m := benchModule(b, trappingGuest(c.body))
			for range b.N {
				in, err := m.Instantiate(context.Background(), nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := drive(in, "x"); err == nil {
					b.Fatal("no trap")
				}
				in.Close()
			}
		})
	}
}

func benchInstance(b *testing.B, guest string) *Instance {
	b.Helper()
	m := benchModule(b, guest)
	in, err := m.Instantiate(context.Background(), &Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(in.Close)
	return in
}

func benchModule(b *testing.B, guest string) *Module {
	b.Helper()
	e, err := NewEngine()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(e.Close)
	m, err := e.Compile("guest.wat", []byte(guest))
	if err == nil {
		err = m.Check() // compiles the shim
	}
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	return m
}

// BenchmarkInstance gives the cost of an instance, from start to close, beside that
// of the bare guest in a store that is closed the same way. Left to the collector, as
// the binding does, stores outrun it until no address space is left.
func BenchmarkInstance(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		cfg := wt.NewConfig()
		cfg.SetEpochInterruption(true)
		engine := wt.NewEngineWithConfig(cfg)
		binary, err := wt.Wat2Wasm(`(module (memory (export "memory") 2) (func (export "run")))`)
		if err != nil {
			b.Fatal(err)
		}
		module, err := wt.NewModule(engine, binary)
		if err != nil {
			b.Fatal(err)
		}
		for range b.N {
			store := wt.NewStore(engine)
			if _, err := wt.NewInstance(store, module, nil); err != nil {
				b.Fatal(err)
			}
			runtime.SetFinalizer(store, nil)
			deleteStore(pointer(store))
		}
	})
	for _, guest := range []struct{ name, text string }{
		{"polling", pollingGuest},
		{"wasi", allImportsGuest(`(func (export "run"))`)},
	} {
		b.Run(guest.name, func(b *testing.B) {
			m := benchModule(b, guest.text)
			for range b.N {
				in, err := m.Instantiate(context.Background(), &Config{})
				if err != nil {
					b.Fatal(err)
				}
				in.Close()
			}
		})
	}
}

// allImportsGuest is a module that imports everything there is.
func allImportsGuest(fields string) string {
	text := "(module\n"
	for _, f := range importables {
		text += fmt.Sprintf("(import %q %q (func $%s %s))\n", f.module, f.name, f.name, watType(f.typ.Params(), f.typ.Results()))
	}
	return text + "(memory (export \"memory\") 2)\n" + fields + ")"
}

func watType(params, results string) string {
	text := ""
	for _, list := range []struct{ word, letters string }{{"param", params}, {"result", results}} {
		if list.letters == "" {
			continue
		}
		text += "(" + list.word
		for _, l := range list.letters {
			text += map[rune]string{'i': " i32", 'I': " i64"}[l]
		}
		text += ") "
	}
	return text
}
