;; Makes the file /started, then computes for ever.
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param $dir i32) (param $lookup i32) (param $path i32) (param $len i32)
      (param $how i32) (param $rights i64) (param $inherited i64) (param $flags i32) (param $fd i32)
      (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "started")
  (func (export "run") (result i32)
    ;; 3 is the granted directory; how 1 is CREAT; rights 64 is fd_write
    (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 7)
          (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 64))
      (then (return (i32.const 1))))
    (loop $forever (br $forever))
    (i32.const 0)))
