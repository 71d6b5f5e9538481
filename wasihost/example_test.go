package wasihost_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/wasmton/wasmton/wasihost"
)

// shout writes each task to standard output and traps on an empty one.
const shout = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run")
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (call $poll (i64.const 1024) (i32.const 4096)))
    (if (i32.eqz (i32.load (i32.const 4))) (then unreachable))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))`

func Example() {
	engine, err := wasihost.NewEngine()
	if err != nil {
		panic(err)
	}
	defer engine.Close()
	module, err := engine.Compile("shout.wat", []byte(shout))
	if err != nil {
		panic(err)
	}
	cfg := &wasihost.Config{Output: func(task int, stream wasihost.Stream, line []byte) {
		fmt.Printf("task %d wrote to %s: %s\n", task, stream, line)
	}}
	instance, err := module.Instantiate(context.Background(), cfg)
	if err != nil {
		panic(err)
	}
	defer instance.Close()

	tasks := [][]byte{[]byte("hello"), []byte("world"), nil, []byte("not run")}
	n, err := instance.Drive(context.Background(), tasks)
	fmt.Println("done:", n)
	if trap, ok := errors.AsType[*wasihost.TrapError](err); ok {
		fmt.Println("task", n, "trapped:", trap.Reason)
	}
	// Output:
	// task 0 wrote to stdout: hello
	// task 1 wrote to stdout: world
	// done: 2
	// task 2 trapped: unreachable instruction executed (an abort, a panic or a failed assertion)
}
