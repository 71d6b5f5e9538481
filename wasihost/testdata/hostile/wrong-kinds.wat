;; Exports a global as memory and a table as run.
;;
;; expect: link 2 problems
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (memory 1)
  (global $g i32 (i32.const 0))
  (table $t 1 funcref)
  (export "memory" (global $g))
  (export "run" (table $t)))
