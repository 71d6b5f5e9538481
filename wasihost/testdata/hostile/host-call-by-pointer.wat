;; Calls a host function through a table, with a wild pointer.
;;
;; expect: trap random_get was given address 0xffffffff for 9 bytes
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (table $t 1 funcref)
  (elem (i32.const 0) $random_get)
  (func $misbehave (result i32)
    (call_indirect (param i32 i32) (result i32) (i32.const -1) (i32.const 9) (i32.const 0)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
