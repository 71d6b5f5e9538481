;; Imports its memory, and exports that.
;;
;; expect: link there is no such function
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (import "decaton" "memory" (memory 1))
  (export "memory" (memory 0))
  (func (export "run")))
