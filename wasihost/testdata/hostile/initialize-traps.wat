;; Traps in _initialize.
;;
;; expect: instantiate trap unreachable instruction executed
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_initialize")
    (unreachable))
  (func (export "run")))
