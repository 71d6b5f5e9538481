;; The calls that the shim answers, or guards before it hands them on to the
;; native function of the same name ($native_…). Each stands under a line that
;; names it and, after "needs", the helpers and native functions that it uses.

;;; poll_task
;; copies the task to the guest and returns its length; -1, with the task left in
;; place, when there is none or the buffer is too small. memory.copy is a call into
;; the runtime: up to half a kilobyte, loads and stores are quicker.
(func $poll_task (param $addr i64) (param $cap i32) (result i32)
  (local $n i32) (local $to i32) (local $from i32) (local $end i32)
  (local.set $n (global.get $left))
  (if (i32.or
        (i32.lt_s (local.get $n) (i32.const 0))
        (i32.gt_s (local.get $n) (local.get $cap)))
    (then (return (i32.const -1))))
  (call $bounds (i32.const %call%) (local.get $addr) (i64.extend_i32_u (local.get $n)))
  (global.set $left (i32.const -1))
  (local.set $to (i32.wrap_i64 (local.get $addr)))
  (local.set $from (global.get $task))
  (if (i32.gt_u (local.get $n) (i32.const 512)) (then
    (memory.copy $guest $box (local.get $to) (local.get $from) (local.get $n))
    (return (local.get $n))))
  (local.set $end (i32.add (local.get $to) (i32.and (local.get $n) (i32.const -64))))
  (block $out
    (loop $again
      (br_if $out (i32.eq (local.get $to) (local.get $end)))
      (v128.store $guest (local.get $to) (v128.load $box (local.get $from)))
      (v128.store $guest offset=16 (local.get $to) (v128.load $box offset=16 (local.get $from)))
      (v128.store $guest offset=32 (local.get $to) (v128.load $box offset=32 (local.get $from)))
      (v128.store $guest offset=48 (local.get $to) (v128.load $box offset=48 (local.get $from)))
      (local.set $to (i32.add (local.get $to) (i32.const 64)))
      (local.set $from (i32.add (local.get $from) (i32.const 64)))
      (br $again)))
  (if (i32.and (local.get $n) (i32.const 32)) (then
    (v128.store $guest (local.get $to) (v128.load $box (local.get $from)))
    (v128.store $guest offset=16 (local.get $to) (v128.load $box offset=16 (local.get $from)))
    (local.set $to (i32.add (local.get $to) (i32.const 32)))
    (local.set $from (i32.add (local.get $from) (i32.const 32)))))
  (if (i32.and (local.get $n) (i32.const 16)) (then
    (v128.store $guest (local.get $to) (v128.load $box (local.get $from)))
    (local.set $to (i32.add (local.get $to) (i32.const 16)))
    (local.set $from (i32.add (local.get $from) (i32.const 16)))))
  (if (i32.and (local.get $n) (i32.const 8)) (then
    (i64.store $guest (local.get $to) (i64.load $box (local.get $from)))
    (local.set $to (i32.add (local.get $to) (i32.const 8)))
    (local.set $from (i32.add (local.get $from) (i32.const 8)))))
  (if (i32.and (local.get $n) (i32.const 4)) (then
    (i32.store $guest (local.get $to) (i32.load $box (local.get $from)))
    (local.set $to (i32.add (local.get $to) (i32.const 4)))
    (local.set $from (i32.add (local.get $from) (i32.const 4)))))
  (if (i32.and (local.get $n) (i32.const 2)) (then
    (i32.store16 $guest (local.get $to) (i32.load16_u $box (local.get $from)))
    (local.set $to (i32.add (local.get $to) (i32.const 2)))
    (local.set $from (i32.add (local.get $from) (i32.const 2)))))
  (if (i32.and (local.get $n) (i32.const 1)) (then
    (i32.store8 $guest (local.get $to) (i32.load8_u $box (local.get $from)))))
  (local.get $n))

;;; task_size
(func $task_size (result i32)
  (global.get $left))

;;; proc_exit
;; ends the guest with any status; the native one refuses those over 125.
(func $proc_exit (param $status i32)
  (i32.store $box (i32.const %Value%) (local.get $status))
  (i32.store $box (i32.const %Fault%) (i32.const %FaultExit%))
  (unreachable))

;;; fd_write needs native:fd_write emit
(func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $written i32) (result i32)
  (local $flags i32) (local $few i32) (local $total i64) (local $addr i32) (local $len i32)
  (local.set $flags (call $fd_flags (local.get $fd)))
  (if (i32.and (local.get $flags) (i32.const %FDReadOnly%)) (then (return (i32.const %EROFS%))))
  (local.set $few (call $vectors (i32.const %call%) (local.get $iovs) (local.get $n)))
  (if (i32.eqz (local.get $flags)) (then
    (return (call $native_fd_write
      (local.get $fd) (local.get $iovs) (local.get $few) (local.get $written)))))
  (call $bounds (i32.const %call%) (i64.extend_i32_u (local.get $written)) (i64.const 4))
  (block $out
    (loop $again
      (br_if $out (i32.eqz (local.get $n)))
      (local.set $addr (i32.load $guest (local.get $iovs)))
      (local.set $len (i32.load $guest offset=4 (local.get $iovs)))
      (call $bounds (i32.const %call%)
        (i64.extend_i32_u (local.get $addr)) (i64.extend_i32_u (local.get $len)))
      ;; The count is 32 bits wide: what goes beyond is left to another write.
      (br_if $out
        (i64.gt_u
          (i64.add (local.get $total) (i64.extend_i32_u (local.get $len)))
          (i64.const 0xffffffff)))
      (call $emit (i32.shr_u (local.get $flags) (i32.const 1)) (local.get $addr) (local.get $len))
      (local.set $total (i64.add (local.get $total) (i64.extend_i32_u (local.get $len))))
      (local.set $iovs (i32.add (local.get $iovs) (i32.const 8)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $again)))
  (i32.store $guest (local.get $written) (i32.wrap_i64 (local.get $total)))
  (i32.const 0))

;;; emit needs host:drain
;; appends bytes of the guest to the output area, which the host empties when it
;; is full.
(func $emit (param $stream i32) (param $addr i32) (param $len i32)
  (local $used i32) (local $part i32)
  (if (i32.load $box (i32.const %Mute%)) (then (return)))
  (loop $again
    (if (i32.eqz (local.get $len)) (then (return)))
    (local.set $used (i32.load $box (i32.const %OutputLen%)))
    (if (i32.gt_u (local.get $used) (i32.const %OutputFull%)) (then
      (call $host_drain (i32.load $box (i32.const %Instance%)))
      (br $again)))
    (local.set $part
      (i32.sub (i32.const %OutputRoom%) (local.get $used)))
    (if (i32.gt_u (local.get $part) (local.get $len)) (then
      (local.set $part (local.get $len))))
    (i32.store $box offset=%Output% (local.get $used) (i32.load $box (i32.const %Cursor%)))
    (i32.store $box offset=%OutputWord% (local.get $used)
      (i32.or (i32.shl (local.get $stream) (i32.const 16)) (local.get $part)))
    (memory.copy $box $guest
      (i32.add (local.get $used) (i32.const %OutputData%)) (local.get $addr) (local.get $part))
    (i32.store $box (i32.const %OutputLen%)
      (i32.add (local.get $used) (i32.add (local.get $part) (i32.const %OutputHead%))))
    (local.set $addr (i32.add (local.get $addr) (local.get $part)))
    (local.set $len (i32.sub (local.get $len) (local.get $part)))
    (br $again)))

;;; fd_fdstat_get needs native:fd_fdstat_get
;; calls a captured stream a terminal: a character device without the rights to
;; seek and tell. C libraries then write a line at a time.
(func $fd_fdstat_get (param $fd i32) (param $stat i32) (result i32)
  (if (i32.eqz (call $fd_captured (local.get $fd))) (then
    (return (call $native_fd_fdstat_get (local.get $fd) (local.get $stat)))))
  (call $bounds (i32.const %call%) (i64.extend_i32_u (local.get $stat)) (i64.const 24))
  (i64.store $guest (local.get $stat) (i64.const 2))
  ;; datasync, fdstat_set_flags, sync, write, filestat_get, poll
  (i64.store $guest offset=8 (local.get $stat) (i64.const 0x8200059))
  (i64.store $guest offset=16 (local.get $stat) (i64.const 0))
  (i32.const 0))

;;; fd_filestat_get needs native:fd_filestat_get
(func $fd_filestat_get (param $fd i32) (param $stat i32) (result i32)
  (if (i32.eqz (call $fd_captured (local.get $fd))) (then
    (return (call $native_fd_filestat_get (local.get $fd) (local.get $stat)))))
  (call $bounds (i32.const %call%) (i64.extend_i32_u (local.get $stat)) (i64.const 64))
  (memory.fill $guest (local.get $stat) (i32.const 0) (i32.const 64))
  (i32.store8 $guest offset=16 (local.get $stat) (i32.const 2))
  (i64.store $guest offset=24 (local.get $stat) (i64.const 1))
  (i32.const 0))

;;; fd_close needs native:fd_close
(func $fd_close (param $fd i32) (result i32)
  (local $errno i32)
  (if (i32.eqz (local.tee $errno (call $native_fd_close (local.get $fd)))) (then
    (call $fd_remove (local.get $fd))))
  (local.get $errno))

;;; fd_renumber needs native:fd_renumber
;; The flags go with the descriptor: what was standard output is still captured
;; under its new number, and a file that takes the number 1 is a file.
(func $fd_renumber (param $from i32) (param $to i32) (result i32)
  (local $errno i32) (local $at i32)
  (if (local.tee $errno (call $native_fd_renumber (local.get $from) (local.get $to)))
    (then (return (local.get $errno))))
  (if (i32.ne (local.get $from) (local.get $to)) (then
    (call $fd_remove (local.get $to))
    (if (local.tee $at (call $fd_entry (local.get $from)))
      (then (i32.store $box (local.get $at) (local.get $to))))))
  (i32.const 0))

;;; path_open needs native:path_open native:path_filestat_get file_type
(func $path_open (param $fd i32) (param $lookup i32) (param $path i32) (param $len i32)
  (param $oflags i32) (param $rights i64) (param $inherit i64) (param $fdflags i32)
  (param $opened i32) (result i32)
  (local $flags i32) (local $errno i32) (local $type i32)
  (if (call $long_path (i32.const %call%) (local.get $path) (local.get $len))
    (then (return (i32.const %ENAMETOOLONG%))))
  (if (call $fd_full) (then (return (i32.const %EMFILE%))))
  (local.set $flags (call $fd_flags (local.get $fd)))
  (if (i32.and (local.get $flags) (i32.const %FDReadOnly%)) (then
    ;; creat, trunc
    (if (i32.and (local.get $oflags) (i32.const 9)) (then (return (i32.const %EROFS%))))
    ;; fd_write. With the directory flag it is not meant: libraries that open a
    ;; directory ask for all the rights there are.
    (if (i32.eqz (i32.and (local.get $oflags) (i32.const 2))) (then
      (if (i64.ne (i64.and (local.get $rights) (i64.const 0x40)) (i64.const 0)) (then
        (return (i32.const %EROFS%))))))
    ;; fd_write, fd_allocate, fd_filestat_set_size; append, which alone opens a
    ;; file for writing
    (local.set $rights (i64.and (local.get $rights) (i64.const 0xffffffffffbffebf)))
    (local.set $fdflags (i32.and (local.get $fdflags) (i32.const -2)))))
  (local.set $errno
    (call $file_type (local.get $fd) (local.get $lookup) (local.get $path) (local.get $len)))
  (local.set $type (i32.shr_u (local.get $errno) (i32.const 16)))
  (if (local.tee $errno (i32.and (local.get $errno) (i32.const 0xffff)))
    (then
      ;; Where the path leads nowhere the native call cannot open anything either,
      ;; but may create it, or know a better errno. It must not be tried where only
      ;; the question has failed, for want of memory, say. The errnos here are ACCES,
      ;; BADF, ILSEQ, INVAL, LOOP, NAMETOOLONG, NOENT, NOTDIR, PERM.
      (if (i32.or
            (i32.gt_u (local.get $errno) (i32.const 63))
            (i64.eqz (i64.and
              (i64.shr_u (i64.const 0x8040102112000104) (i64.extend_i32_u (local.get $errno)))
              (i64.const 1))))
        (then (return (local.get $errno)))))
    (else
      ;; Opening a FIFO waits for its other end, natively and for ever. A symlink
      ;; here is one that is not to be followed, which the native call refuses.
      (if (i32.eqz (i32.or
            (i32.or
              (i32.eq (local.get $type) (i32.const 3))
              (i32.eq (local.get $type) (i32.const 4)))
            (i32.eq (local.get $type) (i32.const 7))))
        (then (return (i32.const %EACCES%))))))
  (if (local.tee $errno
        (call $native_path_open
          (local.get $fd) (local.get $lookup) (local.get $path) (local.get $len)
          (local.get $oflags) (local.get $rights) (local.get $inherit) (local.get $fdflags)
          (local.get $opened)))
    (then (return (local.get $errno))))
  (call $fd_add (i32.load $guest (local.get $opened))
    (i32.and (local.get $flags) (i32.const %FDReadOnly%)))
  (i32.const 0))

;;; file_type needs native:path_filestat_get
;; The type of the file at a path, shifted left by 16, or the errno. The native
;; call can only answer in the guest's memory: 64 bytes are lent for the purpose, the
;; first or, where a path begins in those, the last. A path is shorter than a page.
(func $file_type (param $fd i32) (param $lookup i32) (param $path i32) (param $len i32) (result i32)
  (local $size i64) (local $at i32) (local $errno i32) (local $type i32)
  (local.set $size (call $memory_bytes))
  (call $bounds (i32.const %call:path_open%)
    (i64.extend_i32_u (local.get $path)) (i64.extend_i32_u (local.get $len)))
  (if (i64.eqz (local.get $size)) (then (return (i32.const %ENOENT%))))
  (if (i32.lt_u (local.get $path) (i32.const 64)) (then
    (local.set $at (i32.wrap_i64 (i64.sub (local.get $size) (i64.const 64))))))
  (memory.copy $box $guest (i32.const %Scratch%) (local.get $at) (i32.const 64))
  (local.set $errno
    (call $native_path_filestat_get
      (local.get $fd) (local.get $lookup) (local.get $path) (local.get $len) (local.get $at)))
  (local.set $type (i32.load8_u $guest offset=16 (local.get $at)))
  (memory.copy $guest $box (local.get $at) (i32.const %Scratch%) (i32.const 64))
  (if (local.get $errno) (then (return (local.get $errno))))
  (i32.shl (local.get $type) (i32.const 16)))

;;; poll_oneoff needs host:poll native:clock_time_get
;; waits in the host, where a wait can be ended. A time on the monotonic clock
;; counts from a start that only the native clock knows, so its reading goes along;
;; it is taken in the place of the first event, which is put back.
(func $poll_oneoff (param $in i32) (param $events i32) (param $n i32) (param $count i32) (result i32)
  (local $saved i64) (local $now i64)
  (if (i32.eqz (local.get $n)) (then (return (i32.const %EINVAL%))))
  (call $bounds (i32.const %call%)
    (i64.extend_i32_u (local.get $in))
    (i64.mul (i64.extend_i32_u (local.get $n)) (i64.const 48)))
  (call $bounds (i32.const %call%)
    (i64.extend_i32_u (local.get $events))
    (i64.mul (i64.extend_i32_u (local.get $n)) (i64.const 32)))
  (call $bounds (i32.const %call%) (i64.extend_i32_u (local.get $count)) (i64.const 4))
  (if (i32.gt_u (local.get $n) (i32.const %MaxSubscriptions%)) (then (return (i32.const %EINVAL%))))
  (if (i32.and (i32.or (local.get $in) (local.get $events)) (i32.const 7)) (then
    (return (i32.const %EINVAL%))))
  (local.set $saved (i64.load $guest (local.get $events)))
  (drop (call $native_clock_time_get (i32.const 1) (i64.const 0) (local.get $events)))
  (local.set $now (i64.load $guest (local.get $events)))
  (i64.store $guest (local.get $events) (local.get $saved))
  (call $host_poll
    (i32.load $box (i32.const %Instance%))
    (local.get $in) (local.get $events) (local.get $n) (local.get $count) (local.get $now)))

;;; random_get needs native:random_get
;; asks for a little at a time. The library can end a guest where this loop begins
;; anew, and not within a native call: gigabytes would take seconds.
(func $random_get (param $addr i32) (param $len i32) (result i32)
  (local $part i32) (local $errno i32)
  (call $bounds (i32.const %call%)
    (i64.extend_i32_u (local.get $addr)) (i64.extend_i32_u (local.get $len)))
  (loop $again
    (local.set $part
      (select (local.get $len) (i32.const %MaxRandom%) (i32.lt_u (local.get $len) (i32.const %MaxRandom%))))
    (if (local.tee $errno (call $native_random_get (local.get $addr) (local.get $part)))
      (then (return (local.get $errno))))
    (local.set $addr (i32.add (local.get $addr) (local.get $part)))
    (br_if $again (local.tee $len (i32.sub (local.get $len) (local.get $part)))))
  (i32.const 0))
