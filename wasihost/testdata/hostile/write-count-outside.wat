;; Has the count of a write stored half outside of memory.
;;
;; expect: trap fd_write was given address 0xfffe for 4 bytes
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 512) "\00\03\00\00\04\00\00\00")
  (func $misbehave (result i32)
    (call $fd_write (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 0xfffe)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
