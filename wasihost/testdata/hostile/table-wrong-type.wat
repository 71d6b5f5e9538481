;; Calls a host function through a table, by another type.
;;
;; expect: trap call of a function pointer with the wrong type
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (table $t 1 funcref)
  (elem (i32.const 0) $poll_task)
  (func $misbehave (result i32)
    (call_indirect (result i32) (i32.const 0)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
