;; Has two memories, the second of which no limit would hold.
;;
;; expect: link it has 2 memories
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (memory $second 1)
  (func (export "run")))
