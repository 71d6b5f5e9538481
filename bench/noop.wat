;; The guest of the throughput benchmark: takes each task and does nothing with it.
(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "run")
    (drop (call $poll (i64.const 1024) (i32.const 65536)))))
