;; Traps in its start function.
;;
;; expect: instantiate trap unreachable instruction executed
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $start
    (unreachable))
  (start $start)
  (func (export "run")))
