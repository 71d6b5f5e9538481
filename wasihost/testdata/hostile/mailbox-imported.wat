;; Imports the memory that host and shim share.
;;
;; expect: link there is no module "host"
(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (import "host" "mailbox" (memory 1))
  (memory (export "memory") 1)
  (func (export "run")))
