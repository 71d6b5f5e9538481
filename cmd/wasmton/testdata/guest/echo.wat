;; A guest that writes each task to standard output. A task whose first byte is
;; one of these misbehaves, after it was written:
;;
;;   !  traps            *  recurses without end     ^  closes standard output
;;   0  exits with 0     @  loops without end        +  grows memory until it can't
;;   7  exits with 7     -  returns 9                =  writes to standard error
;;
;; Before it loops it writes so much that the host hands the lines out, which tells
;; a test that the loop has begun.
(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $size (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)

  (func $say (param $fd i32) (param $at i32) (param $len i32)
    (i32.store8 (i32.add (local.get $at) (local.get $len)) (i32.const 10))
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (i32.add (local.get $len) (i32.const 1)))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func $recurse (param i32) (result i32)
    (i32.add (i32.const 1) (call $recurse (local.get 0))))

  (func $grow
    (loop $more
      (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    unreachable)

  (func $spin
    (local $i i32)
    (memory.fill (i32.const 1024) (i32.const 122) (i32.const 4000))
    (loop $more
      (call $say (i32.const 1) (i32.const 1024) (i32.const 4000))
      (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))
    (loop $for_ever (br $for_ever)))

  (func (export "run") (result i32)
    (local $n i32) (local $first i32)
    ;; Room for large tasks; only their size is written.
    (local.set $n (call $size))
    (if (i32.gt_s (local.get $n) (i32.const 60000)) (then
      (if (i32.gt_u (i32.add (local.get $n) (i32.const 2048)) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.div_u (local.get $n) (i32.const 60000))))))
      (if (i32.ne (call $poll (i64.const 1024) (local.get $n)) (local.get $n)) (then unreachable))
      (call $say (i32.const 1) (i32.const 1024) (i32.const 5))
      (return (i32.const 0))))
    (local.set $n (call $poll (i64.const 1024) (i32.const 60000)))
    (local.set $first (if (result i32) (local.get $n) (then (i32.load8_u (i32.const 1024))) (else (i32.const 0))))
    (if (i32.eq (local.get $first) (i32.const 61)) ;; =
      (then (call $say (i32.const 2) (i32.const 1024) (local.get $n)) (return (i32.const 0))))
    (call $say (i32.const 1) (i32.const 1024) (local.get $n))
    (if (i32.eq (local.get $first) (i32.const 33)) (then unreachable)) ;; !
    (if (i32.eq (local.get $first) (i32.const 48)) (then (call $exit (i32.const 0)))) ;; 0
    (if (i32.eq (local.get $first) (i32.const 55)) (then (call $exit (i32.const 7)))) ;; 7
    (if (i32.eq (local.get $first) (i32.const 42)) (then (return (call $recurse (i32.const 0))))) ;; *
    (if (i32.eq (local.get $first) (i32.const 64)) (then (call $spin))) ;; @
    (if (i32.eq (local.get $first) (i32.const 45)) (then (return (i32.const 9)))) ;; -
    (if (i32.eq (local.get $first) (i32.const 94)) (then (drop (call $close (i32.const 1))))) ;; ^
    (if (i32.eq (local.get $first) (i32.const 43)) (then (call $grow))) ;; +
    (i32.const 0)))
