;; Has data that belong outside of its memory.
;;
;; expect: instantiate trap memory access out of bounds
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 65536) "x")
  (func (export "run")))
