package wasihost

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// bigGuest is a guest of 2 MB, of which a task needs little: what a language with a
// runtime of its own compiles to.
func bigGuest() string {
	var b strings.Builder
	b.WriteString(`(module (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)`)
	for i := range 20_000 {
		fmt.Fprintf(&b, "(func (param i32 i32) (result i32) (local i64)")
		for j := range 4 {
			fmt.Fprintf(&b, "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const %d)) (i32.load offset=%d (i32.and (local.get 1) (i32.const 65535)))))", 100_000+i+j, 1000+j)
		}
		b.WriteString("(local.get 0))")
	}
	b.WriteString(`(func (export "run") (drop (call $poll (i64.const 0) (i32.const 100)))))`)
	return b.String()
}

// BenchmarkStart is all that lies between the start of a process and the first task in
// this package: an engine, a module from the cache, its shim, an instance, a task.
func BenchmarkStart(b *testing.B) {
	binary, err := binaryForm("big.wat", []byte(bigGuest()))
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	run := func(b *testing.B, want Origin) {
		cache, err := OpenCache(CacheConfig{Dir: dir, Warn: func(err error) { b.Error(err) }})
		if err != nil {
			b.Fatal(err)
		}
		e, err := NewEngineWith(EngineConfig{Cache: cache})
		if err != nil {
			b.Fatal(err)
		}
		defer e.Close()
		m, err := e.Compile("big.wasm", binary)
		if err != nil || m.Origin() != want {
			b.Fatalf("%v, %v", m, err)
		}
		in, err := m.Instantiate(context.Background(), nil)
		if err != nil {
			b.Fatal(err)
		}
		defer in.Close()
		if _, err := in.Drive(context.Background(), [][]byte{[]byte("task")}); err != nil {
			b.Fatal(err)
		}
	}
	run(b, Compiled)
	for b.Loop() {
		run(b, FromCache)
	}
	b.ReportMetric(float64(len(binary))/1e6, "MB")
}
