;; Makes a file of 2 to the power of 64 bytes.
;;
;; expect: result 28
;; grant: files
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $fd_filestat_set_size (param i32 i64) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 256) "file")
  (func $misbehave (result i32)
    (if (call $path_open (i32.const 4) (i32.const 1) (i32.const 256) (i32.const 4) (i32.const 0) (i64.const 0x400042) (i64.const 0x400042) (i32.const 0) (i32.const 0x400)) (then (return (i32.const 255))))
    (call $fd_filestat_set_size (i32.load (i32.const 0x400)) (i64.const -1)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
