;; What every variant has: the mailbox, the drive loop, the task of the moment,
;; and the descriptor table. Names between percent signs are those of layout.go.

;; The task that has not been polled: its address in the mailbox and its length,
;; -1 when there is none. After a batch it may stay, since only run can poll.
(global $task (mut i32) (i32.const 0))
(global $left (mut i32) (i32.const -1))

;; drive runs the tasks from the cursor on. It has neither parameters nor results,
;; since a call from the host without any is the cheapest one. The cursor moves
;; after each run, so that it names the task at fault if the guest traps.
;;
;; The library looks at the epoch where the loop begins anew, and when a tick has
;; passed the host sets yield, there and then: so yield is looked at after that
;; place and before a task. A task thus begins in the tick in which its crossing
;; began, and the crossing's deadline is its own. Only the first is exempt, so that
;; a crossing always gets somewhere.
(func (export "drive")
  (local $i i32) (local $n i32) (local $at i32) (local $len i32) (local $result i32)
  (local $ran i32)
  (local.set $i (i32.load $box (i32.const %Cursor%)))
  (local.set $n (i32.load $box (i32.const %Count%)))
  (local.set $at (i32.load $box (i32.const %Next%)))
  (i32.store $box (i32.const %Status%) (i32.const 0))
  (block $out
    (loop $again
      (br_if $out (i32.ge_u (local.get $i) (local.get $n)))
      (br_if $out (i32.and (local.get $ran)
        (i32.or (i32.load $box (i32.const %Yield%))
          (i32.gt_u (memory.size $guest) (i32.load $box (i32.const %Mark%))))))
      (local.set $len (i32.load $box (local.get $at)))
      (global.set $task (i32.add (local.get $at) (i32.const %TaskHead%)))
      (global.set $left (local.get $len))
      %CallRun%
      (local.set $at
        (i32.and
          (i32.add (i32.add (local.get $at) (local.get $len)) (i32.const 15))
          (i32.const -8)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (i32.store $box (i32.const %Next%) (local.get $at))
      (i32.store $box (i32.const %Cursor%) (local.get $i))
      (local.set $ran (i32.const 1))
      (br $again)))
  (if (i32.and (i32.eqz (i32.load $box (i32.const %Status%)))
        (i32.gt_u (memory.size $guest) (i32.load $box (i32.const %Mark%)))) (then
    (i32.store $box (i32.const %Status%) (i32.const %StatusGrown%)))))

;; memory_bytes is the size of the guest's memory.
(func $memory_bytes (result i64)
  (i64.shl (i64.extend_i32_u (memory.size $guest)) (i64.const 16)))

;; bounds traps unless the guest has $len bytes at $addr. $call is the index of
;; the call for the message.
(func $bounds (param $call i32) (param $addr i64) (param $len i64)
  (local $size i64)
  (local.set $size (call $memory_bytes))
  (if (i64.le_u (local.get $addr) (local.get $size)) (then
    (if (i64.le_u (local.get $len) (i64.sub (local.get $size) (local.get $addr))) (then
      (return)))))
  (i64.store $box (i32.const %FaultAddr%) (local.get $addr))
  (i64.store $box (i32.const %FaultLen%) (local.get $len))
  (i64.store $box (i32.const %FaultMemory%) (local.get $size))
  (i32.store $box (i32.const %FaultCall%) (local.get $call))
  (i32.store $box (i32.const %Fault%) (i32.const %FaultBounds%))
  (unreachable))

;; vectors is the number of buffers in a list that a native call is to look at. It
;; traps unless the guest has the whole list.
(func $vectors (param $call i32) (param $list i32) (param $n i32) (result i32)
  (call $bounds (local.get $call)
    (i64.extend_i32_u (local.get $list))
    (i64.shl (i64.extend_i32_u (local.get $n)) (i64.const 3)))
  (select (local.get $n) (i32.const %MaxVectors%)
    (i32.lt_u (local.get $n) (i32.const %MaxVectors%))))

;; long_path is whether a path is longer than any may be. It traps where such a path
;; is not even in memory.
(func $long_path (param $call i32) (param $path i32) (param $len i32) (result i32)
  (if (i32.le_u (local.get $len) (i32.const %MaxPath%)) (then (return (i32.const 0))))
  (call $bounds (local.get $call)
    (i64.extend_i32_u (local.get $path)) (i64.extend_i32_u (local.get $len)))
  (i32.const 1))

;; fd_entry is the address of a descriptor's entry, 0 for a descriptor that is not
;; open. The table is short, and standard output and error come first.
(func $fd_entry (param $fd i32) (result i32)
  (local $at i32) (local $end i32)
  (local.set $at (i32.const %FDTable%))
  (local.set $end
    (i32.add (local.get $at)
      (i32.mul (i32.load $box (i32.const %FDCount%)) (i32.const %FDEntry%))))
  (loop $again
    (if (i32.ge_u (local.get $at) (local.get $end)) (then (return (i32.const 0))))
    (if (i32.eq (i32.load $box (local.get $at)) (local.get $fd)) (then (return (local.get $at))))
    (local.set $at (i32.add (local.get $at) (i32.const %FDEntry%)))
    (br $again))
  (unreachable))

(func $fd_flags (param $fd i32) (result i32)
  (local $at i32)
  (if (result i32) (local.tee $at (call $fd_entry (local.get $fd)))
    (then (i32.load $box offset=4 (local.get $at)))
    (else (i32.const 0))))

(func $fd_readonly (param $fd i32) (result i32)
  (i32.and (call $fd_flags (local.get $fd)) (i32.const %FDReadOnly%)))

;; fd_captured is 0, or the number of the stream that is captured here.
(func $fd_captured (param $fd i32) (result i32)
  (i32.shr_u (call $fd_flags (local.get $fd)) (i32.const 1)))

(func $fd_full (result i32)
  (i32.ge_u (i32.load $box (i32.const %FDCount%)) (i32.load $box (i32.const %FDLimit%))))

(func $fd_add (param $fd i32) (param $flags i32)
  (local $n i32) (local $at i32)
  (local.set $n (i32.load $box (i32.const %FDCount%)))
  (local.set $at
    (i32.add (i32.const %FDTable%) (i32.mul (local.get $n) (i32.const %FDEntry%))))
  (i32.store $box (local.get $at) (local.get $fd))
  (i32.store $box offset=4 (local.get $at) (local.get $flags))
  (i32.store $box (i32.const %FDCount%) (i32.add (local.get $n) (i32.const 1))))

;; fd_remove moves the last entry to the place of the one that goes.
(func $fd_remove (param $fd i32)
  (local $at i32) (local $n i32)
  (if (i32.eqz (local.tee $at (call $fd_entry (local.get $fd)))) (then (return)))
  (local.set $n (i32.sub (i32.load $box (i32.const %FDCount%)) (i32.const 1)))
  (i32.store $box (i32.const %FDCount%) (local.get $n))
  (i64.store $box (local.get $at)
    (i64.load $box offset=%FDTable% (i32.mul (local.get $n) (i32.const %FDEntry%)))))
