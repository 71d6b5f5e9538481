;; Loops without end in _initialize.
;;
;; expect: instantiate timeout
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_initialize")
    (loop $l (br $l)))
  (func (export "run")))
