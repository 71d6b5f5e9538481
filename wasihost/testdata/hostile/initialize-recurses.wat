;; Calls its own _initialize without end.
;;
;; expect: instantiate trap call stack exhausted
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $init (call $init))
  (func (export "_initialize")
    (call $init))
  (func (export "run")))
