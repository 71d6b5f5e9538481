;; Imports one function by two types.
;;
;; expect: link it is imported with type
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (import "decaton" "poll_task" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run")))
