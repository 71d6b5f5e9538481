;; Waits for four billion things.
;;
;; expect: trap poll_oneoff was given address 0x100 for 206158430160 bytes
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (func $misbehave (result i32)
    (call $poll_oneoff (i32.const 256) (i32.const 512) (i32.const -1) (i32.const 0x400)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
