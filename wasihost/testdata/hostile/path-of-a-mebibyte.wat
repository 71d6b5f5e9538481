;; Asks for a file by a path of a mebibyte. It is refused without being copied.
;;
;; expect: result 37
;; grant: files
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get" (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 32)
  (func $misbehave (result i32)
    (memory.fill (i32.const 0x1000) (i32.const 0x61) (i32.const 0x100000))
    (call $path_filestat_get (i32.const 4) (i32.const 1) (i32.const 0x1000) (i32.const 0x100000) (i32.const 0x400)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
