;; Writes to every descriptor that the process itself may have.
;;
;; expect: result 0
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 512) "\00\03\00\00\04\00\00\00")
  (func $misbehave (result i32)
    (local $fd i32)
    (local.set $fd (i32.const 3))
    (loop $l
      (if (i32.ne (call $fd_write (local.get $fd) (i32.const 0x200) (i32.const 1) (i32.const 0x400)) (i32.const 8))
        (then (return (local.get $fd))))
      (br_if $l (i32.lt_u (local.tee $fd (i32.add (local.get $fd) (i32.const 1))) (i32.const 2000))))
    (i32.const 0))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
