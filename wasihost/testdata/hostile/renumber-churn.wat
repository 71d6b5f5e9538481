;; Opens a file five thousand times and moves it over the last one. None of them must
;; stay open.
;;
;; expect: result 0
;; grant: files
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 256) "file")
  (data (i32.const 512) "\00\03\00\00\04\00\00\00")
  (func $misbehave (result i32)
    (local $i i32)
    (if (call $path_open (i32.const 4) (i32.const 1) (i32.const 256) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 0x400)) (then (return (i32.const 255))))
    (i32.store (i32.const 0x404) (i32.load (i32.const 0x400)))
    (loop $l
      (if (call $path_open (i32.const 4) (i32.const 1) (i32.const 256) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 0x400)) (then (return (i32.const 255))))
      (if (call $fd_renumber (i32.load (i32.const 0x400)) (i32.load (i32.const 0x404))) (then (return (i32.const 254))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5000))))
    (call $fd_read (i32.load (i32.const 0x404)) (i32.const 0x200) (i32.const 1) (i32.const 0x408)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
