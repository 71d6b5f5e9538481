;; Calls the host in its start function, when the host is not there yet.
;;
;; expect: link its start function calls the host (poll_task)
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $start
    (drop (call $poll_task (i64.const 0) (i32.const 64))))
  (start $start)
  (func (export "run")))
