;; As read-million-buffers, by fd_pread.
;;
;; expect: result 0
;; grant: files
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pread" (func $fd_pread (param i32 i32 i32 i64 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 512)
  (data (i32.const 256) "file")
  (func $misbehave (result i32)
    (local $i i32)
    (loop $each
      (i32.store offset=0x10000 (i32.shl (local.get $i) (i32.const 3)) (i32.add (i32.const 0x1000000) (local.get $i)))
      (i32.store offset=0x10004 (i32.shl (local.get $i) (i32.const 3)) (i32.const 1))
      (br_if $each (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000000))))
    (if (call $path_open (i32.const 4) (i32.const 1) (i32.const 256) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 0x400)) (then (return (i32.const 255))))
    (call $fd_pread (i32.load (i32.const 0x400)) (i32.const 0x10000) (i32.const 0xf4240) (i64.const 0) (i32.const 0x408)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
