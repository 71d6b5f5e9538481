;; Writes a buffer that begins in memory and whose end in 32 bits does too.
;;
;; expect: trap fd_write was given address 0x300 for 4294967280 bytes
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 512) "\00\03\00\00\f0\ff\ff\ff")
  (func $misbehave (result i32)
    (call $fd_write (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 0x400)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
