;; Waits for five centuries.
;;
;; expect: timeout
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (func $misbehave (result i32)
    (i64.store (i32.const 0x118) (i64.const 0x7fffffffffffffff))
    (i32.store (i32.const 0x110) (i32.const 1))
    (call $poll_oneoff (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 0x400)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
