;; Goes on with a directory at an entry that was never there.
;;
;; expect: result 0
;; grant: files
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (func $misbehave (result i32)
    (call $fd_readdir (i32.const 3) (i32.const 0x1000) (i32.const 256) (i64.const -1) (i32.const 0x400)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
