;; Has a shared memory.
;;
;; expect: format threads
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (memory (export "memory") 1 1 shared)
  (func (export "run")))
