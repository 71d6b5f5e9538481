package wasihost

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// chattyGuest uses the mailbox in every way: it polls its task, has its output
// drained, waits, and does at the end what the first byte of its task says: trap,
// give a wild address, exit, or fail.
const chattyGuest = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $wait (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\03\00\00\00")
  (data (i32.const 16) "x\0ay")
  (data (i32.const 72) "\01") ;; wait for descriptor 1
  (data (i32.const 80) "\01")
  (func (export "run") (result i32) (local $c i32)
    (drop (call $poll (i64.const 1024) (i32.const 1024)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $wait (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8)))
    (drop (call $renumber (i32.const 1) (i32.const 1)))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
    (local.set $c (i32.load8_u (i32.const 1024)))
    (if (i32.eq (local.get $c) (i32.const 0x74)) (then (unreachable))) ;; t
    (if (i32.eq (local.get $c) (i32.const 0x77)) (then ;; w
      (drop (call $write (i32.const 1) (i32.const -1) (i32.const 9) (i32.const 8)))))
    (if (i32.eq (local.get $c) (i32.const 0x65)) (then (call $exit (i32.const 1)))) ;; e
    (i32.eq (local.get $c) (i32.const 0x66)))) ;; f`

// FuzzMailbox overwrites the mailbox while a guest is in the middle of its tasks, as
// a guest could that found a way to write there. There is none; this is for the day
// that there is. The host may end the guest, but must not panic, loop, or count a
// task that does not exist. What is left alone is the instance's own number: it
// stands for the instance itself.
func FuzzMailbox(f *testing.F) {
	word := func(v ...uint32) (b []byte) {
		for _, v := range v {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return b
	}
	for _, end := range []byte("twef.") {
		f.Add(uint16(shim.Cursor), word(shim.NoTask), end)
		f.Add(uint16(shim.Cursor), word(0, 0, 0), end)
		f.Add(uint16(shim.Cursor), word(2, 1<<31, 1<<31), end)
		f.Add(uint16(shim.Next), word(0xfffffff0), end)
		f.Add(uint16(shim.Status), word(1, 7, 0xffffffff), end)
		f.Add(uint16(shim.OutputLen), word(0xffffffff), end)
		f.Add(uint16(shim.OutputLen), word(shim.OutputSize+1), end)
		f.Add(uint16(shim.FDCount), word(0xffffffff), end)
		f.Add(uint16(shim.FDCount), word(0), end)
		f.Add(uint16(shim.Fault), word(1, 0xffffffff, 0xffffffff, 0xffffffff), end)
		f.Add(uint16(shim.Fault), word(77), end)
		f.Add(uint16(shim.FDTable), word(1, 0xffffffff, 2, 0x200), end)
		f.Add(uint16(shim.Output), word(0xfffffffe, 0xff0003, 9), end)
		f.Add(uint16(shim.Tasks), word(0xffffffff), end)
	}
	m := compile(f, testEngine, chattyGuest)
	f.Fuzz(func(t *testing.T, at uint16, damage []byte, end byte) {
		// Once while the host reads the output, once after it has.
		for _, late := range []bool{false, true} {
			var in *Instance
			scribble := func() {
				copy(in.box[min(int(at), len(in.box)):], damage)
				in.box.setWord(shim.Instance, in.number)
			}
			lines := 0
			in = start(t, m, &Config{TaskTimeout: tick, Output: func(int, Stream, []byte) {
				if lines++; lines == 2 && !late {
					scribble()
				}
			}})
			if late {
				scribble()
			}
			tasks := [][]byte{{'.'}, {end}, {'.'}, {end}}
			if late {
				in.box.lay(tasks)
				scribble()
				_, _ = in.cross(context.Background())
			}
			n, err := in.Drive(context.Background(), tasks)
			var trap *TrapError
			var exit *ExitError
			var result *ResultError
			var timeout *TimeoutError
			switch {
			case err == nil && n != len(tasks), err != nil && (n < 0 || n >= len(tasks)):
				t.Errorf("Drive = %d, %v", n, err)
			case err == nil, errors.Is(err, ErrDead), errors.As(err, &trap), errors.As(err, &exit), errors.As(err, &result), errors.As(err, &timeout):
			default:
				t.Errorf("%T: %v", err, err)
			}
			in.Close()
		}
	})
}
