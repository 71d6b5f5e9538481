;; Never loops, and calls itself 2 to the power of 60 times.
;;
;; expect: timeout
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (func $twice (param i32)
    (if (local.get 0) (then
      (call $twice (i32.sub (local.get 0) (i32.const 1)))
      (call $twice (i32.sub (local.get 0) (i32.const 1))))))
  (func $misbehave (result i32)
    (call $twice (i32.const 60))
    (i32.const 0))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
