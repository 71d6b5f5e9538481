;; The calls that are different for a command, in the form of calls.wat. Its standard
;; streams are the host's, and go through it: a native read or write could block
;; where nobody can end it.

;;; fd_write needs native:fd_write host:stream_write
(func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $written i32) (result i32)
  (local $stream i32)
  (if (call $fd_readonly (local.get $fd)) (then (return (i32.const %EROFS%))))
  (local.set $n (call $vectors (i32.const %call%) (local.get $iovs) (local.get $n)))
  (if (i32.eqz (local.tee $stream (call $fd_captured (local.get $fd)))) (then
    (return (call $native_fd_write
      (local.get $fd) (local.get $iovs) (local.get $n) (local.get $written)))))
  (call $host_stream_write
    (i32.load $box (i32.const %Instance%))
    (local.get $stream) (local.get $iovs) (local.get $n) (local.get $written)))

;;; fd_read needs native:fd_read host:stream_read
(func $fd_read (param $fd i32) (param $iovs i32) (param $n i32) (param $read i32) (result i32)
  (local $stream i32)
  (local.set $n (call $vectors (i32.const %call%) (local.get $iovs) (local.get $n)))
  (if (i32.eqz (local.tee $stream (call $fd_captured (local.get $fd)))) (then
    (return (call $native_fd_read
      (local.get $fd) (local.get $iovs) (local.get $n) (local.get $read)))))
  (call $host_stream_read
    (i32.load $box (i32.const %Instance%))
    (local.get $stream) (local.get $iovs) (local.get $n) (local.get $read)))

;;; fd_fdstat_get needs native:fd_fdstat_get host:stream_fdstat
(func $fd_fdstat_get (param $fd i32) (param $stat i32) (result i32)
  (local $stream i32)
  (if (i32.eqz (local.tee $stream (call $fd_captured (local.get $fd)))) (then
    (return (call $native_fd_fdstat_get (local.get $fd) (local.get $stat)))))
  (call $host_stream_fdstat
    (i32.load $box (i32.const %Instance%)) (local.get $stream) (local.get $stat)))

;;; fd_filestat_get needs native:fd_filestat_get host:stream_filestat
(func $fd_filestat_get (param $fd i32) (param $stat i32) (result i32)
  (local $stream i32)
  (if (i32.eqz (local.tee $stream (call $fd_captured (local.get $fd)))) (then
    (return (call $native_fd_filestat_get (local.get $fd) (local.get $stat)))))
  (call $host_stream_filestat
    (i32.load $box (i32.const %Instance%)) (local.get $stream) (local.get $stat)))

;;; fd_fdstat_set_flags needs native:fd_fdstat_set_flags host:stream_set_flags
(func $fd_fdstat_set_flags (param $fd i32) (param $flags i32) (result i32)
  (local $stream i32)
  (if (i32.eqz (local.tee $stream (call $fd_captured (local.get $fd)))) (then
    (return (call $native_fd_fdstat_set_flags (local.get $fd) (local.get $flags)))))
  (call $host_stream_set_flags
    (i32.load $box (i32.const %Instance%)) (local.get $stream) (local.get $flags)))
