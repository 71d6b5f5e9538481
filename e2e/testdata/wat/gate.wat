;; Waits until there is a file /open, by trying to open it again and again.
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param $dir i32) (param $lookup i32) (param $path i32) (param $len i32)
      (param $how i32) (param $rights i64) (param $inherited i64) (param $flags i32) (param $fd i32)
      (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "open")
  (func (export "run")
    ;; 3 is the granted directory; rights 2 is fd_read
    (loop $shut
      (br_if $shut (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4)
        (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64))))
    (drop (call $fd_close (i32.load (i32.const 64))))))
