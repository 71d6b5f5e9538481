;; Succeeds without looking at its task.
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run")))
