;; Has a memory of no pages, and opens a file.
;;
;; expect: trap path_open was given address
;; alone
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 0)
  (func (export "run") (result i32)
    (call $path_open (i32.const 4) (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 0))))
