;; Loops without end in its start function.
;;
;; expect: instantiate timeout
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $start
    (loop $l (br $l)))
  (start $start)
  (func (export "run")))
