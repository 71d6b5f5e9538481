package wasihost

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"syscall"
	"time"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
	"golang.org/x/term"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// streams are a command's standard streams as its instance holds them.
type streams struct {
	stdin          input
	stdout, stderr io.Writer
	flags          [shim.Stdin + 1]uint16 // by the stream's number, what the guest has set
	gathered       []byte                 // of several pieces that are written at once
}

func newStreams(std Streams) *streams {
	s := &streams{stdin: input{from: std.Stdin}, stdout: std.Stdout, stderr: std.Stderr}
	if s.stdin.from == nil {
		s.stdin.from = eof{}
	}
	if s.stdout == nil {
		s.stdout = io.Discard
	}
	if s.stderr == nil {
		s.stderr = io.Discard
	}
	return s
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

func (s *streams) close() { s.stdin.close() }

// writer is nil for a stream that is not for writing.
func (s *streams) writer(stream int32) io.Writer {
	switch Stream(stream) {
	case Stdout:
		return s.stdout
	case Stderr:
		return s.stderr
	}
	return nil
}

// Types of files, flags of descriptors and rights in WASI preview 1.
const (
	typeUnknown         = 0
	typeCharacterDevice = 2
	typeRegularFile     = 4

	flagAppend   = 1
	flagNonblock = 4

	// fd_fdstat_set_flags, fd_filestat_get, poll_fd_readwrite
	rightsStream = 1<<3 | 1<<21 | 1<<27
	rightsInput  = rightsStream | 1<<1               // fd_read
	rightsOutput = rightsStream | 1<<0 | 1<<4 | 1<<6 // fd_datasync, fd_sync, fd_write
)

// fileType is what a guest is told of a stream. C libraries take a character device
// that does not seek for a terminal, and write to it a line at a time; so only a
// terminal is one. A pipe has no type of its own in WASI preview 1.
func fileType(stream any) uint8 {
	f, ok := stream.(*os.File)
	if !ok {
		return typeUnknown
	}
	if term.IsTerminal(int(f.Fd())) {
		return typeCharacterDevice
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return typeRegularFile
	}
	return typeUnknown
}

// of is the stream itself.
func (s *streams) of(stream int32) any {
	if stream == shim.Stdin {
		return s.stdin.from
	}
	return s.writer(stream)
}

// maxPiece bounds what is read or gathered at once.
const maxPiece = 64 << 10

// write writes pieces of guest memory to w.
func (s *streams) write(w io.Writer, pieces iovecs) (n uint32, errno int32) {
	s.gathered = s.gathered[:0]
	flush := func() bool {
		if len(s.gathered) == 0 {
			return true
		}
		k, err := w.Write(s.gathered)
		s.gathered = s.gathered[:0]
		n += uint32(k)
		errno = errnoOf(err)
		return err == nil
	}
	left := uint64(math.MaxUint32) // the count is 32 bits wide
	for p := range pieces.all {
		if uint64(len(p)) > left {
			break
		}
		left -= uint64(len(p))
		if len(p) < maxPiece-len(s.gathered) {
			s.gathered = append(s.gathered, p...)
			continue
		}
		if !flush() {
			break
		}
		k, err := w.Write(p)
		n += uint32(k)
		if errno = errnoOf(err); err != nil {
			break
		}
	}
	if errno == errnoSuccess {
		flush()
	}
	if n > 0 {
		errno = errnoSuccess // the rest fails at the next write
	}
	return n, errno
}

// errnos are what errors of the system are in WASI preview 1.
var errnos = map[syscall.Errno]int32{
	syscall.EACCES: 2, syscall.EAGAIN: errnoAgain, syscall.EBADF: errnoBadf, syscall.EDQUOT: 19,
	syscall.EFBIG: 22, syscall.EINTR: 27, syscall.EINVAL: errnoInval, syscall.EIO: errnoIO,
	syscall.EISDIR: 31, syscall.ENOSPC: 51, syscall.EPERM: 63, syscall.EPIPE: errnoPipe,
}

func errnoOf(err error) int32 {
	var e syscall.Errno
	switch {
	case err == nil:
		return errnoSuccess
	case errors.As(err, &e) && errnos[e] != 0:
		return errnos[e]
	case errors.Is(err, fs.ErrClosed):
		return errnoBadf
	case errors.Is(err, io.ErrClosedPipe):
		return errnoPipe
	}
	return errnoIO
}

// hostStreamWrite is fd_write on a standard stream: stream, iovecs, their number,
// and where the count goes.
func hostStreamWrite(in *Instance, args []wt.Val) (int32, error) {
	memory := guestMemory(view(in.context, in.memory))
	pieces, err := memory.iovecs("fd_write", args[1:])
	if err != nil {
		return 0, err
	}
	w := in.streams.writer(args[0].I32())
	if w == nil {
		return errnoBadf, nil
	}
	n, errno := in.streams.write(w, pieces)
	if errno == errnoSuccess {
		memory.setWord(uint32(args[3].I32()), n)
	}
	return errno, nil
}

// hostStreamRead is fd_read on a standard stream: stream, iovecs, their number, and
// where the count goes.
func hostStreamRead(in *Instance, args []wt.Val) (int32, error) {
	memory := guestMemory(view(in.context, in.memory))
	pieces, err := memory.iovecs("fd_read", args[1:])
	if err != nil {
		return 0, err
	}
	if args[0].I32() != shim.Stdin {
		return errnoBadf, nil
	}
	stdin := &in.streams.stdin
	want := uint64(0)
	for p := range pieces.all {
		want = min(want+uint64(len(p)), maxPiece)
	}
	if want > 0 && !stdin.ready() {
		stdin.ask(int(want))
		patience := time.Duration(math.MaxInt64)
		if in.streams.flags[shim.Stdin]&flagNonblock != 0 {
			patience = inputMoment
		}
		if err := in.wait(patience, stdin); err != nil {
			return 0, err
		}
		if !stdin.ready() {
			return errnoAgain, nil
		}
	}
	n := uint32(0)
	if want > 0 {
		for p := range pieces.all {
			n += uint32(stdin.take(p))
		}
		if n == 0 {
			if errno := stdin.end(); errno != errnoSuccess {
				return errno, nil
			}
		}
	}
	memory.setWord(uint32(args[3].I32()), n)
	return errnoSuccess, nil
}

// iovecs are pieces of guest memory that lie in it.
type iovecs struct {
	memory guestMemory
	list   []byte
}

// iovecs are those at args[0], args[1] of them; a word at args[2] is for the count.
// An address outside of memory is an error, as it is for the shim's own calls.
func (m guestMemory) iovecs(call string, args []wt.Val) (iovecs, error) {
	at, n, count := uint32(args[0].I32()), uint64(uint32(args[1].I32())), uint32(args[2].I32())
	v := iovecs{memory: m}
	var ok bool
	if v.list, ok = m.span(at, 8*n); !ok {
		return v, errors.New(outside(call, uint64(at), 8*n, uint64(len(m))))
	}
	if _, ok := m.span(count, 4); !ok {
		return v, errors.New(outside(call, uint64(count), 4, uint64(len(m))))
	}
	for b := v.list; len(b) > 0; b = b[8:] {
		if addr, size := mailbox(b).word(0), mailbox(b).word(4); true {
			if _, ok := m.span(addr, uint64(size)); !ok {
				return v, errors.New(outside(call, uint64(addr), uint64(size), uint64(len(m))))
			}
		}
	}
	return v, nil
}

// all yields each piece that is not empty.
func (v iovecs) all(yield func([]byte) bool) {
	for b := v.list; len(b) > 0; b = b[8:] {
		p, ok := v.memory.span(mailbox(b).word(0), uint64(mailbox(b).word(4)))
		if ok && len(p) > 0 && !yield(p) {
			return
		}
	}
}

// outside says which bytes a call was asked to touch.
func outside(call string, addr, length, memory uint64) string {
	unit := "bytes"
	if length == 1 {
		unit = "byte"
	}
	return fmt.Sprintf("%s was given address 0x%x for %d %s, which is outside the guest's memory of %d bytes",
		call, addr, length, unit, memory)
}

// hostStreamFDStat is fd_fdstat_get on a standard stream: stream, address.
func hostStreamFDStat(in *Instance, args []wt.Val) (int32, error) {
	stream, addr := args[0].I32(), uint32(args[1].I32())
	memory := guestMemory(view(in.context, in.memory))
	b, ok := memory.span(addr, 24)
	if !ok {
		return 0, errors.New(outside("fd_fdstat_get", uint64(addr), 24, uint64(len(memory))))
	}
	clear(b)
	b[0] = fileType(in.streams.of(stream))
	mailbox(b).setHalf(2, in.streams.flags[stream])
	rights := uint64(rightsOutput)
	if stream == shim.Stdin {
		rights = rightsInput
	}
	mailbox(b).setLong(8, rights)
	return errnoSuccess, nil
}

// hostStreamFileStat is fd_filestat_get on a standard stream: stream, address.
func hostStreamFileStat(in *Instance, args []wt.Val) (int32, error) {
	stream, addr := args[0].I32(), uint32(args[1].I32())
	memory := guestMemory(view(in.context, in.memory))
	b, ok := memory.span(addr, 64)
	if !ok {
		return 0, errors.New(outside("fd_filestat_get", uint64(addr), 64, uint64(len(memory))))
	}
	clear(b)
	stat := mailbox(b)
	of := in.streams.of(stream)
	b[16] = fileType(of)
	stat.setLong(24, 1) // links
	if f, ok := of.(*os.File); ok && b[16] == typeRegularFile {
		if info, err := f.Stat(); err == nil {
			stat.setLong(32, uint64(info.Size()))
			for _, at := range []uint32{40, 48, 56} { // accessed, modified, changed
				stat.setLong(at, uint64(info.ModTime().UnixNano()))
			}
		}
	}
	return errnoSuccess, nil
}

// hostStreamSetFlags is fd_fdstat_set_flags on a standard stream: stream, flags.
func hostStreamSetFlags(in *Instance, args []wt.Val) (int32, error) {
	flags := args[1].I32()
	if flags&^(flagAppend|flagNonblock) != 0 {
		return errnoNotsup, nil
	}
	in.streams.flags[args[0].I32()] = uint16(flags)
	return errnoSuccess, nil
}
