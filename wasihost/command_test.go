package wasihost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is a command that makes the calls in body. There are iovecs at 16 and 24:
// 5 bytes at 256, which are "hello", and 3 at 272, "abc"; one at 32 for 100 bytes at
// 512; and at 40 one of no bytes. Counts go to 8. At 128 stands a wait for input, at
// 176 one for 1 ms.
func program(body string) string {
	return allImportsGuest(`
	(data (i32.const 16) "\00\01\00\00\05\00\00\00" "\10\01\00\00\03\00\00\00" "\00\02\00\00\64\00\00\00" "\00\02\00\00\00\00\00\00")
	(data (i32.const 256) "hello") (data (i32.const 272) "abc") (data (i32.const 300) "new")
	(data (i32.const 128) "\07\00\00\00\00\00\00\00" "\01")
	(data (i32.const 176) "\08\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00" "\01\00\00\00\00\00\00\00" "\40\42\0f")
	(func (export "_start") ` + body + `)`)
}

// calls are a program's calls, each made as "name args...", with its result dropped.
func calls(list ...string) string {
	var b strings.Builder
	for _, c := range list {
		words := strings.Fields(c)
		f := findImportable(preview1, words[0])
		if f == nil {
			f = findImportable(decaton, words[0])
		}
		text := "(call $" + words[0]
		for i, l := range f.typ.Params() {
			text += fmt.Sprintf(" (%s.const %s)", map[rune]string{'i': "i32", 'I': "i64"}[l], words[1+i])
		}
		text += ")"
		if f.typ.Results() != "" {
			text = "(drop " + text + ")"
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

// transcript runs a program, and returns what it asked of the host and was given.
func transcript(t *testing.T, body string, cfg Config, std Streams) (log []string, status int32, err error) {
	t.Helper()
	cfg.Trace = func(c *HostCall) { log = append(log, c.String()) }
	status, err = compile(t, testEngine, program(body)).Run(context.Background(), &cfg, std)
	return log, status, err
}

func wantTranscript(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestACommandSpeaksThroughItsStreams(t *testing.T) {
	var both bytes.Buffer
	log, status, err := transcript(t, calls(
		"fd_write 1 16 1 8",
		"fd_write 2 24 1 8",
		"fd_write 1 16 2 8",
		"fd_write 1 16 0 8",
		"fd_write 1 40 1 8",
		"fd_read 0 32 1 8",
		"fd_write 1 32 1 8",
		"fd_read 0 16 2 8", // over "hello" and "abc"
		"fd_read 0 32 1 8",
		"fd_read 0 32 0 8",
		"poll_task 0 10",
	), Config{}, Streams{Stdin: iotestPieces("first\x00\xff", "second piece"), Stdout: &both, Stderr: &both})
	if status != 0 || err != nil {
		t.Fatalf("status %d, %v", status, err)
	}
	if want := "helloabchelloabc" + "first\x00\xff" + strings.Repeat("\x00", 93); both.String() != want {
		t.Errorf("written %q, want %q", both.String(), want)
	}
	wantTranscript(t, log,
		`fd_write(fd=1, data="hello") = ok n=5`,
		`fd_write(fd=2, data="abc") = ok n=3`,
		`fd_write(fd=1, data="helloabc") = ok n=8`,
		`fd_write(fd=1, data="") = ok n=0`,
		`fd_write(fd=1, data="") = ok n=0`,
		`fd_read(fd=0, room=100) = ok n=7`,
		`fd_write(fd=1, data="first\x00\xff`+strings.Repeat(`\x00`, 25)+`"… (100 bytes)) = ok n=100`,
		`fd_read(fd=0, room=8) = ok n=8`,
		`fd_read(fd=0, room=100) = ok n=4`,
		`fd_read(fd=0, room=0) = ok n=0`,
		`poll_task(buf=0x0, cap=10) = -1`,
	)
}

// iotestPieces gives a piece a Read, as far as there is room.
func iotestPieces(pieces ...string) io.Reader {
	var all []io.Reader
	for _, p := range pieces {
		all = append(all, strings.NewReader(p))
	}
	return io.MultiReader(all...)
}

func TestACommandsStreamsRefuse(t *testing.T) {
	var out bytes.Buffer
	log, status, err := transcript(t, calls(
		"fd_write 0 16 1 8",
		"fd_read 1 16 1 8",
		"fd_seek 0 0 0 8",
		"fd_tell 1 8",
		"fd_pread 0 16 1 0 8",
		"fd_pwrite 1 16 1 0 8",
		"fd_filestat_set_size 1 0",
		"fd_fdstat_set_flags 1 0x1f",
		"fd_close 1",
		"fd_write 1 16 1 8",
		"fd_renumber 2 1",
		"fd_write 1 16 1 8",
		"fd_write 2 16 1 8",
		"fd_close 0",
		"fd_read 0 16 1 8",
		"poll_oneoff 128 1024 1 8",
	), Config{}, Streams{Stderr: &out})
	if status != 0 || err != nil {
		t.Fatalf("status %d, %v", status, err)
	}
	wantTranscript(t, log,
		`fd_write(fd=0, data="hello") = EBADF`,
		`fd_read(fd=1, room=5) = EBADF`,
		`fd_seek(fd=0, offset=0, whence=set) = ESPIPE`,
		`fd_tell(fd=1) = ESPIPE`,
		`fd_pread(fd=0, room=5, offset=0) = ESPIPE`,
		`fd_pwrite(fd=1, data="hello", offset=0) = ESPIPE`,
		`fd_filestat_set_size(fd=1, size=0) = EINVAL`,
		`fd_fdstat_set_flags(fd=1, flags=append|dsync|nonblock|rsync|sync) = ENOTSUP`,
		`fd_close(fd=1) = ok`,
		`fd_write(fd=1, data="hello") = EBADF`,
		`fd_renumber(fd=2, to=1) = ok`,
		`fd_write(fd=1, data="hello") = ok n=5`,
		`fd_write(fd=2, data="hello") = EBADF`,
		`fd_close(fd=0) = ok`,
		`fd_read(fd=0, room=5) = EBADF`,
		`poll_oneoff(subscriptions=1) = ok events=1`,
	)
	if out.String() != "hello" {
		t.Errorf("standard error, by the number of standard output: %q", out.String())
	}
}

// failing fails each Write with its error, after it has taken n bytes.
type failing struct {
	n   int
	err error
}

func (f failing) Write(p []byte) (int, error) { return min(f.n, len(p)), f.err }

type readFails struct{ err error }

func (f readFails) Read([]byte) (int, error) { return 0, f.err }

func TestErrorsOfStreamsAreErrnos(t *testing.T) {
	for _, c := range []struct {
		name   string
		std    Streams
		call   string
		result string
	}{
		{"a reader that went away", Streams{Stdout: failing{0, &os.PathError{Err: syscall.EPIPE}}}, "fd_write 1 16 1 8", "EPIPE"},
		{"a full disk", Streams{Stdout: failing{0, syscall.ENOSPC}}, "fd_write 1 16 1 8", "ENOSPC"},
		{"a full disk behind some bytes", Streams{Stdout: failing{2, syscall.ENOSPC}}, "fd_write 1 16 1 8", "ok n=2"},
		{"a closed pipe", Streams{Stdout: failing{0, io.ErrClosedPipe}}, "fd_write 1 16 1 8", "EPIPE"},
		{"a closed file", Streams{Stdout: failing{0, os.ErrClosed}}, "fd_write 1 16 1 8", "EBADF"},
		{"another error", Streams{Stdout: failing{0, errors.New("?")}}, "fd_write 1 16 1 8", "EIO"},
		{"input that fails", Streams{Stdin: readFails{syscall.EIO}}, "fd_read 0 16 1 8", "EIO"},
		{"input that is a directory", Streams{Stdin: readFails{syscall.EISDIR}}, "fd_read 0 16 1 8", "EISDIR"},
		{"a reader that gives nothing for ever", Streams{Stdin: readFails{nil}}, "fd_read 0 16 1 8", "EIO"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, _, err := transcript(t, calls(c.call), Config{}, c.std)
			if err != nil || len(log) != 1 || !strings.HasSuffix(log[0], " = "+c.result) {
				t.Errorf("%q, %v; want %s", log, err, c.result)
			}
		})
	}
}

func TestTheEndOfACommand(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int32
		err        string // "" where there is none
	}{
		{"it returns", "", 0, ""},
		{"it exits", calls("proc_exit 0"), 0, ""},
		{"it exits with a status", calls("proc_exit 42"), 42, ""},
		{"it exits with a status that other hosts refuse", calls("proc_exit 200"), 200, ""},
		{"it exits with a negative status", calls("proc_exit -1"), -1, ""},
		{"it traps", "unreachable", 0, "unreachable instruction"},
		{"it writes from a wild address", calls("fd_write 1 0x7ffffff0 1 8"), 0, "fd_write was given address 0x7ffffff0 for 8 bytes, which is outside"},
		{"it writes a wild piece", "(i32.store (i32.const 20) (i32.const -1))" + calls("fd_write 1 16 1 8"), 0, "fd_write was given address 0x100 for 4294967295 bytes"},
		{"it reads to a wild place", "(i32.store (i32.const 16) (i32.const -1))" + calls("fd_read 0 16 1 8"), 0, "fd_read was given address 0xffffffff for 5 bytes"},
		{"it has no place for the count", calls("fd_write 1 16 1 -2"), 0, "fd_write was given address 0xfffffffe for 4 bytes"},
		{"it has no place for all its pieces", calls("fd_read 0 16 -1 8"), 0, "fd_read was given address 0x10 for 34359738360 bytes"},
		{"it has no place for what a stream is", calls("fd_fdstat_get 0 -1"), 0, "fd_fdstat_get was given address 0xffffffff for 24 bytes"},
		{"it has no place for the state of a stream", calls("fd_filestat_get 0 -1"), 0, "fd_filestat_get was given address 0xffffffff for 64 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, status, err := transcript(t, c.body, Config{}, Streams{})
			var trap *TrapError
			switch {
			case c.err == "" && (err != nil || status != c.status):
				t.Errorf("status %d, %v; want %d", status, err, c.status)
			case c.err != "" && (!errors.As(err, &trap) || !strings.Contains(err.Error(), c.err)):
				t.Errorf("%v, want a trap for %q", err, c.err)
			}
		})
	}
}

// A program that waits for input ends with its context, its time, or its engine,
// and what nobody reads any more is left in the pipe.
func TestAWaitForInputCanBeEnded(t *testing.T) {
	for name, body := range map[string]string{
		"fd_read":     calls("fd_write 1 16 1 8", "fd_read 0 32 1 8", "fd_write 1 16 1 8"),
		"poll_oneoff": calls("fd_write 1 16 1 8", "poll_oneoff 128 1024 1 8", "fd_write 1 16 1 8"),
	} {
		module := compile(t, testEngine, program(body))
		t.Run(name+", its context", func(t *testing.T) {
			r, w := pipe(t)
			ctx, cancel := context.WithCancel(context.Background())
			begun := writerFunc(func([]byte) { cancel() })
			if _, err := module.Run(ctx, nil, Streams{Stdin: r, Stdout: begun}); !errors.Is(err, ErrInterrupted) {
				t.Errorf("%v", err)
			}
			if _, err := w.WriteString("left"); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 10)
			if n, err := r.Read(b); string(b[:n]) != "left" || err != nil {
				t.Errorf("read %q, %v", b[:n], err)
			}
		})
		t.Run(name+", its time", func(t *testing.T) {
			r, _ := pipe(t)
			_, err := module.Run(context.Background(), &Config{TaskTimeout: time.Nanosecond}, Streams{Stdin: r})
			var late *TimeoutError
			if !errors.As(err, &late) || !strings.Contains(err.Error(), "the program ran longer than its limit of 1ns (--timeout sets the limit)") {
				t.Errorf("%v", err)
			}
		})
		t.Run(name+", its engine", func(t *testing.T) {
			e, err := NewEngine()
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			r, _ := pipe(t)
			begun := writerFunc(func([]byte) { e.Interrupt() })
			if _, err := compile(t, e, program(body)).Run(context.Background(), nil, Streams{Stdin: r, Stdout: begun}); !errors.Is(err, ErrInterrupted) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAProgramThatComputesCanBeEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	begun := writerFunc(func([]byte) { cancel() })
	m := compile(t, testEngine, program(calls("fd_write 1 16 1 8")+"(loop $l (br $l))"))
	if _, err := m.Run(ctx, nil, Streams{Stdout: begun}); !errors.Is(err, ErrInterrupted) {
		t.Errorf("%v", err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.Close(), w.Close()); err != nil {
			t.Error(err)
		}
	})
	return r, w
}

func TestPollingInput(t *testing.T) {
	t.Run("nothing comes", func(t *testing.T) {
		r, _ := pipe(t)
		log, _, err := transcript(t, calls("poll_oneoff 128 1024 2 8", "fd_fdstat_set_flags 0 4", "fd_read 0 32 1 8"), Config{}, Streams{Stdin: r})
		if err != nil {
			t.Fatal(err)
		}
		wantTranscript(t, log,
			"poll_oneoff(subscriptions=2) = ok events=1", // the millisecond is over
			"fd_fdstat_set_flags(fd=0, flags=nonblock) = ok",
			"fd_read(fd=0, room=100) = EAGAIN")
	})
	t.Run("something is there", func(t *testing.T) {
		// The event and what was read are written out.
		body := calls("poll_oneoff 128 1024 1 8", "fd_read 0 32 1 8", "poll_oneoff 128 1056 1 8", "fd_read 0 32 1 8") + `
			(i32.store (i32.const 32) (i32.const 1024)) (i32.store (i32.const 36) (i32.const 64))` + calls("fd_write 1 32 1 8")
		var out bytes.Buffer
		log, _, err := transcript(t, body, Config{}, Streams{Stdin: strings.NewReader("xyz"), Stdout: &out})
		if err != nil {
			t.Fatal(err)
		}
		wantTranscript(t, log[:4],
			"poll_oneoff(subscriptions=1) = ok events=1",
			"fd_read(fd=0, room=100) = ok n=3",
			"poll_oneoff(subscriptions=1) = ok events=1",
			"fd_read(fd=0, room=100) = ok n=0")
		// userdata 7, no error, kind 1; 3 bytes; then no bytes and a hangup
		want := "\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x03" + strings.Repeat("\x00", 15) +
			"\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00" + strings.Repeat("\x00", 7) + "\x01" + strings.Repeat("\x00", 7)
		if out.String() != want {
			t.Errorf("events\n%q\nwant\n%q", out.String(), want)
		}
	})
}

// Each call looks at 1,024 buffers, as for a processor: natively, more take a time that
// grows with their square.
func TestACommandsBuffersAreBounded(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "new"), make([]byte, 3000), 0o600); err != nil {
		t.Fatal(err)
	}
	text := allImportsGuest(`(data (i32.const 300) "new") (data (i32.const 4096) "` + strings.Repeat(`\00\00\00\00\01\00\00\00`, 2000) + `")
		(func (export "_start") ` + calls("path_open 3 0 300 3 0 0x42 0 0 1024", "fd_write 1 4096 2000 8",
		"fd_read 0 4096 2000 8", "fd_write 4 4096 2000 8") + `)`)
	var counts []string
	cfg := &Config{Dirs: []Dir{{Host: dir, Guest: "/"}}, Trace: func(c *HostCall) { counts = append(counts, c.Name+" "+c.Result) }}
	if _, err := compile(t, testEngine, text).Run(context.Background(), cfg, Streams{Stdin: strings.NewReader(strings.Repeat("x", 3000))}); err != nil {
		t.Fatal(err)
	}
	wantTranscript(t, counts, "path_open ok fd=4", "fd_write ok n=1024", "fd_read ok n=1024", "fd_write ok n=1024")
}

// What is there counts, and not the time that would come later.
func TestPollingInputBesideATime(t *testing.T) {
	log, _, err := transcript(t, "(i64.store (i32.const 200) (i64.const 0x7fffffffffffffff))"+calls("poll_oneoff 128 1024 2 8"),
		Config{}, Streams{Stdin: strings.NewReader("x")})
	if err != nil {
		t.Fatal(err)
	}
	wantTranscript(t, log, "poll_oneoff(subscriptions=2) = ok events=1")
}

// A program that only looks whether there is input, again and again, finds it.
func TestPollingInputWithoutWaiting(t *testing.T) {
	m := compile(t, testEngine, program(`(i64.store (i32.const 200) (i64.const 0)) (loop $look
		(drop (call $poll_oneoff (i32.const 128) (i32.const 1024) (i32.const 2) (i32.const 8)))
		(br_if $look (i32.ne (i32.load (i32.const 8)) (i32.const 2))))`))
	if _, err := m.Run(context.Background(), &Config{TaskTimeout: patience}, Streams{Stdin: strings.NewReader("x")}); err != nil {
		t.Error(err)
	}
}

// patience turns a hang into a failure.
const patience = 20 * time.Second

func TestACommandCannotChangeWhatIsReadOnly(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log, _, err := transcript(t, calls("path_open 3 0 300 3 0 2 0 0 1024", "fd_write 4 16 1 8", "path_open 3 0 300 3 8 2 0 0 1024"),
		Config{Dirs: []Dir{{Host: dir, Guest: "/", ReadOnly: true}}}, Streams{})
	if err != nil {
		t.Fatal(err)
	}
	wantTranscript(t, log, `path_open(dir=3, path="new", rights=fd_read) = ok fd=4`, `fd_write(fd=4, data="hello") = EROFS`,
		`path_open(dir=3, path="new", open=trunc, rights=fd_read) = EROFS`)
}

func TestACommandIsToldWhatItsStreamsAre(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.WriteString("12345"); err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	r, w := pipe(t)
	body := calls("fd_fdstat_set_flags 0 4", "fd_fdstat_get 0 1024", "fd_filestat_get 0 1024")
	for _, c := range []struct {
		name  string
		stdin io.Reader
		want  string
	}{
		{"a file", file, "regular_file"},
		{"a pipe", r, "unknown"},
		{"the null device", null, "unknown"},
		{"a Go reader", strings.NewReader(""), "unknown"},
		{"nothing", nil, "unknown"},
	} {
		log, _, err := transcript(t, body, Config{}, Streams{Stdin: c.stdin, Stdout: w})
		if err != nil {
			t.Fatal(err)
		}
		bytes := map[string]int{"regular_file": 5}[c.want]
		wantTranscript(t, log, "fd_fdstat_set_flags(fd=0, flags=nonblock) = ok",
			"fd_fdstat_get(fd=0) = ok stat="+c.want+",nonblock",
			fmt.Sprintf("fd_filestat_get(fd=0) = ok stat=%s,%d bytes", c.want, bytes))
	}
}

func TestCheckCommand(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a program", `(module (memory (export "memory") 1) (func (export "_start")))`, ""},
		{"a processor", `(module (import "decaton" "poll_task" (func (param i64 i32) (result i32))) (memory (export "memory") 1) (func (export "run")))`, "it is a processor, not a program"},
		{"neither", `(module (memory (export "memory") 1))`, `does not export "_start"`},
		{"a start that takes something", `(module (memory (export "memory") 1) (func (export "_start") (param i32)))`, "export _start: it must be a function of type ()"},
		{"no memory", `(module (func (export "_start")))`, "memory"},
		{"a memory that is none", `(module (func (export "memory")) (func (export "_start")))`, "export memory: it is a func"},
		{"an import that is not there", `(module (import "env" "x" (func)) (memory (export "memory") 1) (func (export "_start")))`, "env.x"},
		{"a start section that calls the host", `(module (import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32)))
			(import "wasi_snapshot_preview1" "fd_close" (func $c (param i32) (result i32)))
			(memory (export "memory") 1) (func (export "_start")) (func $s (drop (call $c (i32.const 1)))) (start $s))`, "start function calls the host (fd_close)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := compile(t, testEngine, c.text)
			err := m.CheckCommand()
			var link *LinkError
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &link) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if _, again := m.Run(context.Background(), nil, Streams{}); again == nil || again.Error() != err.Error() {
				t.Errorf("Run: %v", again)
			}
		})
	}
}
