;; Calls its own run by way of a table, without end.
;;
;; expect: trap call stack exhausted
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (table 1 funcref)
  (elem (i32.const 0) $again)
  (func $again (result i32) (call $misbehave))
  (func $misbehave (result i32)
    (call_indirect (result i32) (i32.const 0)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
