;; Calls its own run in _initialize.
;;
;; expect: done
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $run (if (i32.ne (call $poll_task (i64.const 0) (i32.const 64)) (i32.const -1)) (then (unreachable))))
  (func (export "_initialize")
    (call $run))
  (func (export "run")))
