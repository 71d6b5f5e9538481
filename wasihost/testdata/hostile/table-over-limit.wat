;; Needs a table of two million elements to start.
;;
;; expect: instantiate error table
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (table 2000000 funcref)
  (func (export "run")))
