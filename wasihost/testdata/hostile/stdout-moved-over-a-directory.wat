;; Gives a directory the number of standard output, and the other way round, and
;; opens a file through each.
;;
;; expect: result 54
;; grant: files
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 256) "file")
  (func $misbehave (result i32)
    (if (call $fd_renumber (i32.const 3) (i32.const 1)) (then (return (i32.const 255))))
    (if (call $path_open (i32.const 1) (i32.const 1) (i32.const 256) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 0x400)) (then (return (i32.const 255))))
    (if (call $fd_renumber (i32.const 2) (i32.const 4)) (then (return (i32.const 255))))
    (call $path_open (i32.const 4) (i32.const 1) (i32.const 256) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 0x400)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
