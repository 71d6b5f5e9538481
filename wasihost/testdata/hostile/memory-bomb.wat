;; Grows its memory as long as it may, and then writes behind it.
;;
;; expect: trap memory access out of bounds
;; memory-limit: 16777216
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (func $misbehave (result i32)
    (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (i32.store (i32.shl (memory.size) (i32.const 16)) (i32.const 1))
    (i32.const 0))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
