;; Asks for a task in _initialize, with a wild pointer. There is none, so nothing is
;; stored.
;;
;; expect: done
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_initialize")
    (if (i32.ne (call $poll_task (i64.const -1) (i32.const 64)) (i32.const -1)) (then (unreachable))))
  (func (export "run")))
