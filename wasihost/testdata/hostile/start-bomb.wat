;; Grows its memory in its start function as long as it may, and fills it.
;;
;; expect: instantiate trap memory access out of bounds
;; memory-limit: 16777216
(module
  (import "decaton" "poll_task" (func $poll_task (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $start
    (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (memory.fill (i32.const 0) (i32.const 1) (i32.shl (memory.size) (i32.const 16)))
    (i32.store (i32.shl (memory.size) (i32.const 16)) (i32.const 1)))
  (start $start)
  (func (export "run")))
