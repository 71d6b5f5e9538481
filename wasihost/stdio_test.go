package wasihost

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
	"pgregory.net/rapid"
)

// talkingGuest writes its task to standard output, or, where the first byte is 2, to
// standard error, without it. A first byte of 0 makes it trap afterwards, 1 makes it
// return 1, 3 makes it exit.
const talkingGuest = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "decaton" "task_size" (func $size (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 40)
  (data (i32.const 256) "starting")
  (func (export "_initialize")
    (drop (call $say (i32.const 1) (i32.const 256) (i32.const 8))))
  (func $say (param $fd i32) (param $at i32) (param $n i32) (result i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $n))
    (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
  (func (export "run") (result i32) (local $n i32) (local $c i32)
    (local.set $n (call $poll (i64.const 1024) (call $size)))
    (local.set $c (i32.load8_u (i32.const 1024)))
    (if (i32.le_u (local.get $c) (i32.const 3))
      (then (if (call $say (select (i32.const 2) (i32.const 1) (i32.eq (local.get $c) (i32.const 2)))
        (i32.const 1025) (i32.sub (local.get $n) (i32.const 1))) (then unreachable)))
      (else (if (call $say (i32.const 1) (i32.const 1024) (local.get $n)) (then unreachable))))
    (if (i32.eqz (local.get $c)) (then unreachable))
    (if (i32.eq (local.get $c) (i32.const 3)) (then (call $exit (i32.const 300))))
    (i32.eq (local.get $c) (i32.const 1))))`

func TestOutput(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 8192) // 128 KiB
	for _, c := range []struct {
		name  string
		tasks []string
		want  []string
	}{
		{"lines come one by one, with their task", []string{"a\nb\n", "c\n"}, []string{`0 stdout "a"`, `0 stdout "b"`, `1 stdout "c"`}},
		{"a partial line comes when its task ends", []string{"a\nb", "c"}, []string{`0 stdout "a"`, `0 stdout "b"`, `1 stdout "c"`}},
		{"an empty line is a line", []string{"\n\na\n"}, []string{`0 stdout ""`, `0 stdout ""`, `0 stdout "a"`}},
		{"a task that writes nothing gives none", []string{"a", "\x01", "b"}, []string{`0 stdout "a"`}},
		{"line ends of two bytes are taken off", []string{"a\r\nb\rc\r\n\r\n"}, []string{`0 stdout "a"`, `0 stdout "b\rc"`, `0 stdout ""`}},
		{"standard error is told apart", []string{"a", "\x02b\nc", "d"}, []string{`0 stdout "a"`, `1 stderr "b"`, `1 stderr "c"`, `2 stdout "d"`}},
		{"what was written before a trap comes out", []string{"a", "\x00last words\nand half a"}, []string{`0 stdout "a"`, `1 stdout "last words"`, `1 stdout "and half a"`}},
		{"and before an exit", []string{"\x03bye"}, []string{`0 stdout "bye"`}},
		{"and before a bad result", []string{"\x01no"}, []string{`0 stdout "no"`}},
		{"a line of 64 KiB is one", []string{long[:65536] + "\n"}, []string{fmt.Sprintf("0 stdout %q", long[:65536])}},
		{"a longer one comes in pieces", []string{long[:65537] + "\nx"},
			[]string{fmt.Sprintf("0 stdout %q", long[:65536]), `0 stdout "0"`, `0 stdout "x"`}},
		{"and without an end too", []string{long}, []string{fmt.Sprintf("0 stdout %q", long[:65536]), fmt.Sprintf("0 stdout %q", long[:65536])}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r recorder
			in := guest(t, talkingGuest, &Config{Output: r.output})
			if got := strings.Join(r.lines, "\n"); got != `-1 stdout "starting"` {
				t.Errorf("during instantiation: %s", got)
			}
			r.lines = nil
			_, _ = drive(in, c.tasks...)
			if got, want := strings.Join(r.lines, "\n"), strings.Join(c.want, "\n"); got != want {
				t.Errorf("got  %.300s\nwant %.300s", got, want)
			}
		})
	}
	t.Run("a batch of several crossings numbers tasks through", func(t *testing.T) {
		var got, want []string
		in := guest(t, talkingGuest, &Config{Output: func(task int, _ Stream, line []byte) {
			got = append(got, fmt.Sprint(task, string(line)))
		}})
		got = nil
		tasks := make([]string, 3000)
		for i := range tasks {
			tasks[i] = fmt.Sprint("task number ", i)
			want = append(want, fmt.Sprint(i, tasks[i]))
		}
		if n, err := drive(in, tasks...); n != len(tasks) || err != nil {
			t.Fatal(n, err)
		}
		if !slices.Equal(got, want) {
			t.Error("lines and tasks do not match")
		}
	})
	t.Run("nobody need listen", func(t *testing.T) {
		in := guest(t, talkingGuest, nil)
		if n, err := drive(in, long, "a\nb", "c"); n != 3 || err != nil {
			t.Error(n, err)
		}
	})
	t.Run("lines that are held keep no memory once they are out", func(t *testing.T) {
		in := guest(t, talkingGuest, &Config{Output: func(int, Stream, []byte) {}})
		if _, err := drive(in, long[:60000], "x"); err != nil {
			t.Fatal(err)
		}
		in.output.write(0, Stdout, []byte("begun "))
		in.output.write(0, Stdout, []byte("and ended\n"))
		for _, p := range in.output.partial {
			if cap(p) > 0 {
				t.Errorf("%d bytes held", cap(p))
			}
		}
	})
}

// TestOutputIsWhatWasWritten compares with a twin that has the whole text at once.
func TestOutputIsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var got []string
		o := output{to: func(task int, s Stream, line []byte) {
			got = append(got, fmt.Sprintf("%d %s %q", task, s, line))
		}}
		piece := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "\n", "\r", "bc", strings.Repeat("x", 40000)}), 0, 6).Draw(t, "piece"), "")
		})
		var want []string
		for task := range rapid.IntRange(1, 4).Draw(t, "tasks") {
			whole := [3]string{}
			// One stream a task, since the order between streams is that of lines' ends.
			stream := Stream(rapid.IntRange(1, 2).Draw(t, "stream"))
			for _, p := range rapid.SliceOfN(piece, 0, 5).Draw(t, "pieces") {
				whole[stream] += p
				o.write(task, stream, []byte(p))
			}
			lines := strings.SplitAfter(whole[stream], "\n")
			for _, line := range lines {
				body, ended := strings.CutSuffix(line, "\n")
				for len(body) > maxLine {
					want = append(want, fmt.Sprintf("%d %s %q", task, stream, body[:maxLine]))
					body = body[maxLine:]
				}
				if ended {
					body = strings.TrimSuffix(body, "\r")
				}
				if ended || body != "" {
					want = append(want, fmt.Sprintf("%d %s %q", task, stream, body))
				}
			}
		}
		if _, err := o.end(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got  %.400q\nwant %.400q", got, want)
		}
	})
}

func TestAPanicInOutputFailsItsTask(t *testing.T) {
	for _, c := range []struct {
		name  string
		tasks []string
		n     int
	}{
		{"while the guest runs", []string{"ok", strings.Repeat("panic\n", 5000), "ok"}, 1},
		{"after the crossing", []string{"ok", "panic", "ok"}, 1},
		{"after the crossing, a partial line", []string{"ok", "ok\npanic"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := guest(t, talkingGuest, &Config{Output: func(_ int, _ Stream, line []byte) {
				if string(line) == "panic" {
					panic("oh no")
				}
			}})
			n, err := drive(in, c.tasks...)
			var trap *TrapError
			if n != c.n || !errors.As(err, &trap) || trap.Reason != "panic in the host: oh no" || in.Alive() {
				t.Errorf("Drive = %d, %v, alive %v", n, err, in.Alive())
			}
		})
	}
	t.Run("during instantiation", func(t *testing.T) {
		in, err := compile(t, testEngine, talkingGuest).Instantiate(context.Background(), &Config{Output: func(int, Stream, []byte) { panic("oh no") }})
		var trap *TrapError
		if in != nil || !errors.As(err, &trap) {
			t.Errorf("Instantiate = %v, %v", in, err)
		}
	})
}

func TestAPanicInAHostFunctionStaysThere(t *testing.T) {
	in := guest(t, pollingGuest, nil)
	f := hostFunc{typ: "i>i", call: func(*Instance, []wt.Val) (int32, error) { panic("oh no") }}
	results, trap := f.wrap()(nil, []wt.Val{wt.ValI32(int32(in.number))})
	if results != nil || trap == nil || in.stop == nil || in.stop.Error() != "panic in the host: oh no" {
		t.Errorf("%v, %v, %v", results, trap, in.stop)
	}
	if _, trap = f.wrap()(nil, []wt.Val{wt.ValI32(-1)}); trap == nil {
		t.Error("an instance that is not there was called")
	}
}

func TestStandardStreamsAreATerminal(t *testing.T) {
	p := newPuppet(t, nil)
	const at = 0x1000
	for fd := 1; fd <= 2; fd++ {
		for i := range 64 {
			p.memory()[at+i] = 0xee
		}
		p.want(0, "fd_fdstat_get", fd, at)
		if rights := p.long(at + 8); p.memory()[at] != 2 || rights&(1<<2|1<<5) != 0 || rights&rightWrite == 0 {
			t.Errorf("fd %d: type %d, rights %x: C libraries would not call it a terminal", fd, p.memory()[at], rights)
		}
		if p.memory()[at+24] != 0xee {
			t.Error("more than an fdstat was written")
		}
		p.want(0, "fd_filestat_get", fd, at)
		if p.memory()[at+16] != 2 || p.long(at+32) != 0 || p.memory()[at+63] != 0 || p.memory()[at+64] != 0 {
			t.Errorf("fd %d: file type %d, size %d", fd, p.memory()[at+16], p.long(at+32))
		}
		p.want(errSpipe, "fd_seek", fd, 0, 0, puppetFree)
		p.want(errSpipe, "fd_tell", fd, puppetFree)
		p.want(errSpipe, "fd_pwrite", fd, at, 0, 0, puppetFree)
		p.want(errSpipe, "fd_pread", fd, at, 0, 0, puppetFree)
		p.want(errInval, "fd_filestat_set_size", fd, 0)
		p.want(errNotdir, "fd_readdir", fd, at, 100, 0, puppetFree)
		p.want(0, "fd_fdstat_set_flags", fd, fdNonblock)
		p.want(0, "fd_sync", fd)
		p.want(0, "fd_datasync", fd)
		p.want(0, "fd_advise", fd, 0, 0, 0)
		p.want(0, "fd_filestat_set_times", fd, 0, 0, 0)
		p.want(43, "fd_allocate", fd, 0, 1)
		p.want(errBadf, "fd_read", fd, at, 0, puppetFree)
		p.want(errBadf, "sock_send", fd, at, 0, 0, puppetFree)
	}
	// Standard input is at its end.
	p.iovec(at, "????")
	p.want(0, "fd_read", 0, at, 1, puppetFree)
	if p.word(puppetFree) != 0 {
		t.Errorf("standard input gave %d bytes", p.word(puppetFree))
	}
	p.want(errBadf, "fd_write", 0, at, 1, puppetFree)
}

func TestClosedAndRenumberedStreams(t *testing.T) {
	setUp := func(t *testing.T) (*puppet, *recorder, string) {
		var r recorder
		dir := t.TempDir()
		p := newPuppet(t, &Config{Output: r.output, Dirs: []Dir{{Host: dir, Guest: "/"}}})
		return p, &r, filepath.Join(dir, "file")
	}
	say := func(p *puppet, fd int, text string, want int32) {
		p.t.Helper()
		if e, n := p.say(fd, text); e != want || e == 0 && int(n) != len(text) {
			p.t.Errorf("writing %q to %d: errno %d, %d bytes; want errno %d", text, fd, e, n, want)
		}
	}
	file := func(p *puppet) int {
		p.t.Helper()
		e, fd := p.open(3, "file", oCreat, rightRead|rightWrite, 0)
		if e != 0 {
			p.t.Fatalf("errno %d", e)
		}
		return fd
	}
	t.Run("a closed stream takes no more, and the other does", func(t *testing.T) {
		p, r, _ := setUp(t)
		say(p, 1, "before", 0)
		p.want(0, "fd_close", 1)
		say(p, 1, "after", errBadf)
		p.want(errBadf, "fd_close", 1)
		p.want(errBadf, "fd_fdstat_get", 1, 0x1000)
		p.want(errBadf, "fd_filestat_get", 1, 0x1000)
		p.want(errBadf, "fd_seek", 1, 0, 0, puppetFree)
		say(p, 2, "still here", 0)
		if got := strings.Join(r.lines, ", "); got != `0 stdout "before", 0 stderr "still here"` {
			t.Error(got)
		}
	})
	t.Run("a file that takes a stream's number is a file", func(t *testing.T) {
		p, r, path := setUp(t)
		p.want(0, "fd_renumber", file(p), 1)
		say(p, 1, "to the file", 0)
		p.want(0, "fd_seek", 1, 0, 0, puppetFree)
		p.want(0, "fd_fdstat_get", 1, 0x1000)
		if p.memory()[0x1000] != 4 {
			t.Errorf("file type %d", p.memory()[0x1000])
		}
		if content, _ := os.ReadFile(path); string(content) != "to the file" || len(r.lines) != 0 {
			t.Errorf("file %q, lines %q", content, r.lines)
		}
	})
	t.Run("a stream under another number is still the stream", func(t *testing.T) {
		p, r, _ := setUp(t)
		p.want(0, "fd_renumber", 1, 40)
		say(p, 1, "gone", errBadf)
		say(p, 40, "moved", 0)
		p.want(errSpipe, "fd_seek", 40, 0, 0, puppetFree)
		p.want(0, "fd_renumber", 40, 2)
		say(p, 2, "over stderr", 0)
		if got := strings.Join(r.lines, ", "); got != `0 stdout "moved", 0 stdout "over stderr"` {
			t.Error(got)
		}
	})
	t.Run("a stream that takes a file's number closes the file", func(t *testing.T) {
		p, r, path := setUp(t)
		fd := file(p)
		p.want(0, "fd_renumber", 2, fd)
		say(p, fd, "captured", 0)
		if content, _ := os.ReadFile(path); len(content) != 0 || strings.Join(r.lines, ", ") != `0 stderr "captured"` {
			t.Errorf("file %q, lines %q", content, r.lines)
		}
	})
	t.Run("a stream renumbered to itself stays", func(t *testing.T) {
		p, r, _ := setUp(t)
		p.want(0, "fd_renumber", 1, 1)
		say(p, 1, "here", 0)
		if len(r.lines) != 1 {
			t.Error(r.lines)
		}
	})
	t.Run("a renumbering that fails changes nothing", func(t *testing.T) {
		p, r, _ := setUp(t)
		p.want(errBadf, "fd_renumber", 99, 1)
		say(p, 1, "here", 0)
		if len(r.lines) != 1 {
			t.Error(r.lines)
		}
	})
	t.Run("standard input can be closed", func(t *testing.T) {
		p, _, _ := setUp(t)
		p.want(0, "fd_close", 0)
		p.want(errBadf, "fd_read", 0, 0x1000, 0, puppetFree)
	})
}

func TestWritesThatReachOutOfMemory(t *testing.T) {
	vec := func(p *puppet, at int, addr, n uint32) {
		binary.LittleEndian.PutUint32(p.memory()[at:], addr)
		binary.LittleEndian.PutUint32(p.memory()[at+4:], n)
	}
	for _, c := range []struct {
		name    string
		args    func(p *puppet) []any
		reason  string // "" where it must work
		written string
	}{
		{"no vectors", func(*puppet) []any { return []any{1, puppetFree, 0, 0x1000} }, "", ""},
		{"an empty vector at the end of memory", func(p *puppet) []any {
			vec(p, 0x1000, puppetEnd, 0)
			return []any{1, 0x1000, 1, 0x1100}
		}, "", ""},
		{"the last bytes of memory", func(p *puppet) []any {
			p.put(puppetEnd-3, "end")
			vec(p, 0x1000, puppetEnd-3, 3)
			return []any{1, 0x1000, 1, 0x1100}
		}, "", `0 stdout "end"`},
		{"vectors that are not aligned", func(p *puppet) []any {
			p.put(0x2000, "odd")
			vec(p, 0x1001, 0x2000, 3)
			return []any{1, 0x1001, 1, 0x1103}
		}, "", `0 stdout "odd"`},
		{"a vector too long", func(p *puppet) []any {
			vec(p, 0x1000, puppetEnd-3, 4)
			return []any{1, 0x1000, 1, 0x1100}
		}, "fd_write was given address 0x1fffd for 4 bytes", ""},
		{"a vector that wraps around", func(p *puppet) []any {
			vec(p, 0x1000, 0xfffffff0, 0x20)
			return []any{1, 0x1000, 1, 0x1100}
		}, "fd_write was given address 0xfffffff0 for 32 bytes", ""},
		{"the longest vector", func(p *puppet) []any {
			vec(p, 0x1000, 0, 0xffffffff)
			return []any{1, 0x1000, 1, 0x1100}
		}, "fd_write was given address 0x0 for 4294967295 bytes", ""},
		{"more vectors than there is memory", func(*puppet) []any { return []any{1, 0, uint32(0xffffffff), 0x1100} },
			"fd_write was given address 0x0 for 34359738360 bytes", ""},
		{"vectors behind memory", func(*puppet) []any { return []any{2, puppetEnd - 4, 1, 0x1100} },
			"fd_write was given address 0x1fffc for 8 bytes", ""},
		{"a count behind memory", func(*puppet) []any { return []any{2, 0x1000, 0, puppetEnd - 3} },
			"fd_write was given address 0x1fffd for 4 bytes", ""},
		{"a good vector before a bad one", func(p *puppet) []any {
			p.put(0x2000, "heard")
			vec(p, 0x1000, 0x2000, 5)
			vec(p, 0x1008, 0x2000, 1<<30)
			return []any{1, 0x1000, 2, 0x1100}
		}, "fd_write was given address 0x2000 for 1073741824 bytes", `0 stdout "heard"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r recorder
			p := newPuppet(t, &Config{Output: r.output})
			errno, err := p.try("fd_write", c.args(p)...)
			var trap *TrapError
			switch {
			case c.reason == "" && (err != nil || errno != 0):
				t.Errorf("errno %d, %v", errno, err)
			case c.reason != "" && (!errors.As(err, &trap) || !strings.HasPrefix(trap.Reason, c.reason+", which is outside the guest's memory of 131072 bytes")):
				t.Errorf("%v; want a trap: %s", err, c.reason)
			}
			if got := strings.Join(r.lines, ", "); got != c.written {
				t.Errorf("written %q, want %q", got, c.written)
			}
		})
	}
	t.Run("what one call cannot count is left to another", func(t *testing.T) {
		// 8,192 vectors of a megabyte.
		p := &puppet{t, guest(t, strings.Replace(puppetText, `"memory") 2`, `"memory") 16`, 1), nil)}
		for i := range 8192 {
			vec(p, 0x10000+8*i, 0, 1<<20)
		}
		p.want(0, "fd_write", 1, 0x10000, 8192, 0x1000)
		if written := p.word(0x1000); written != 4095<<20 {
			t.Errorf("%d bytes written, want %d", written, 4095<<20)
		}
	})
}
