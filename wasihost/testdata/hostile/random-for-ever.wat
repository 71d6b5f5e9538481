;; Has all of a large memory filled with random bytes, again and again.
;;
;; expect: timeout
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "decaton" "task_size" (func $task_size (result i32)))
  (memory (export "memory") 2048)
  (func $misbehave (result i32)
    (loop $again (drop (call $random_get (i32.const 0) (i32.const 0x8000000))) (br $again))
    (unreachable))
  (func (export "run") (result i32)
    (if (i32.eq (call $task_size) (i32.const 4)) (then (return (call $misbehave))))
    (i32.const 0)))
