;; Exports a host function as its run, which then is called with no guest in between.
;;
;; expect: result 4
;; alone
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 1)
  (export "run" (func $task_size)))
