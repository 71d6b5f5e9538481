;; Writes from a list with so many buffers that its size in 32 bits is 8.
;;
;; expect: trap fd_write was given address 0x200 for 4294967304 bytes
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (func $misbehave (result i32)
    (call $fd_write (i32.const 1) (i32.const 512) (i32.const 0x20000001) (i32.const 0x400)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
