;; Calls one of the library's own functions in its start function, with a wild
;; pointer.
;;
;; expect: instantiate trap args_sizes_get
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $start
    (drop (call $args_sizes_get (i32.const -4) (i32.const -4))))
  (start $start)
  (func (export "run")))
