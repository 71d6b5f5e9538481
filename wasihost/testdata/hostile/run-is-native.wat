;; Exports one of the library's own functions as its run.
;;
;; expect: done
;; alone
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (memory (export "memory") 1)
  (export "run" (func $sched_yield)))
