;; Uses a data segment that it has dropped.
;;
;; expect: trap memory access out of bounds
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (data $d "x")
  (func $misbehave (result i32)
    (data.drop $d)
    (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))
    (i32.const 0))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
