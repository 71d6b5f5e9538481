;; Has the name of a granted directory stored outside of memory.
;;
;; expect: trap Pointer out of bounds
;; grant: files
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $fd_prestat_dir_name (param i32 i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (func $misbehave (result i32)
    (call $fd_prestat_dir_name (i32.const 3) (i32.const 0xfffffffc) (i32.const 64)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
