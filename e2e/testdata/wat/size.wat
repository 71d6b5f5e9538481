;; Writes the length of its task to standard output, as "length N".
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $vec i32) (param $n i32) (param $written i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "\n")

  ;; The line is built from its end, which is at 33, to the front: digits, then
  ;; the word "length ".
  (func (export "run") (result i32)
    (local $rest i32) (local $at i32)
    (local.set $rest (call $task_size))
    (local.set $at (i32.const 32))
    (loop $digit
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $rest) (i32.const 10))))
      (local.set $rest (i32.div_u (local.get $rest) (i32.const 10)))
      (br_if $digit (local.get $rest)))
    (local.set $at (i32.sub (local.get $at) (i32.const 7)))
    (i32.store (local.get $at) (i32.const 0x676e656c))                             ;; "leng"
    (i32.store offset=3 (local.get $at) (i32.const 0x20687467))                    ;; "gth "
    (i32.store (i32.const 64) (local.get $at))
    (i32.store (i32.const 68) (i32.sub (i32.const 33) (local.get $at)))
    (call $fd_write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 72))))
