;; Grows a table to four billion elements at once.
;;
;; expect: result -1
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (table $t 1 funcref)
  (func $misbehave (result i32)
    (table.grow $t (ref.null func) (i32.const -2)))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
