;; Exits in _initialize.
;;
;; expect: instantiate exit 3
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_initialize")
    (call $proc_exit (i32.const 3)))
  (func (export "run")))
