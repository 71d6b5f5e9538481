;; Imports a host function as a memory.
;;
;; expect: link it is imported as a memory
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (memory 1))
  (memory (export "memory") 1)
  (func (export "run")))
