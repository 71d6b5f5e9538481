;; Needs 4 GiB of memory to start.
;;
;; expect: instantiate error it needs 4 GiB of memory to start
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (memory (export "memory") 65536)
  (func (export "run")))
