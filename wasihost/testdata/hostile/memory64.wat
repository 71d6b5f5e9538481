;; Has a memory of 64-bit addresses.
;;
;; expect: format 64-bit memory
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (memory (export "memory") i64 1)
  (func (export "run")))
