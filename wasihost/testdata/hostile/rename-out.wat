;; Moves a file out of its directory.
;;
;; expect: result 63
;; grant: files
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename" (func $path_rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 256) "file")
  (data (i32.const 288) "../moved")
  (func $misbehave (result i32)
    (call $path_rename (i32.const 4) (i32.const 256) (i32.const 4) (i32.const 4) (i32.const 288) (i32.const 8)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
