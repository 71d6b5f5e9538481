package wasihost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestATraceOfEachKindOfCall(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "new"), []byte("1234567"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, _, err := transcript(t, calls(
		"args_sizes_get 1024 1028",
		"args_get 1024 1100",
		"fd_prestat_get 3 1024",
		"fd_prestat_dir_name 3 1100 5",
		"path_open 3 1 300 3 0 0x42 0x1fffffff 1 1024",
		"fd_filestat_get 4 1104",
		"fd_seek 4 -3 2 1104",
		"fd_seek 4 -30 2 1104",
		"fd_read 4 32 1 8",
		"fd_fdstat_get 4 1104",
		"fd_fdstat_get 3 1104",
		"path_rename 3 300 3 3 300 2",
		"path_symlink 300 3 3 300 1",
		"fd_allocate 4 0 100",
		"fd_close 44",
		"fd_close -1",
		"random_get 1024 16",
		"sched_yield",
		"poll_oneoff 128 1024 0 8",
	), Config{Args: []string{"a", "b"}, Dirs: []Dir{{Host: dir, Guest: "/data"}}}, Streams{})
	if err != nil {
		t.Fatal(err)
	}
	wantTranscript(t, log,
		`args_sizes_get() = ok count=2 bytes=4`,
		`args_get() = ok`,
		`fd_prestat_get(fd=3) = ok stat=directory,5 bytes of name`,
		`fd_prestat_dir_name(fd=3) = ok name="/data"`,
		`path_open(dir=3, lookup=follow, path="new", rights=fd_read|fd_write, flags=append) = ok fd=4`,
		`fd_filestat_get(fd=4) = ok stat=regular_file,7 bytes`,
		`fd_seek(fd=4, offset=-3, whence=end) = ok at=4`,
		`fd_seek(fd=4, offset=-30, whence=end) = EINVAL`,
		`fd_read(fd=4, room=100) = ok n=3`,
		`fd_fdstat_get(fd=4) = ok stat=regular_file,append`,
		`fd_fdstat_get(fd=3) = ok stat=directory`,
		`path_rename(dir=3, path="new", to_dir=3, to="ne") = ok`,
		`path_symlink(target="new", dir=3, path="n") = ok`,
		`fd_allocate(fd=4, offset=0, len=100) = ENOTSUP`,
		`fd_close(fd=44) = EBADF`,
		`fd_close(fd=-1) = EBADF`,
		`random_get(buf=16) = ok`,
		`sched_yield() = ok`,
		`poll_oneoff(subscriptions=0) = EINVAL`,
	)
}

func TestATraceOfACallThatEndsTheGuest(t *testing.T) {
	log, _, err := transcript(t, calls("path_open 3 0 300 -1 15 -1 0 0xff 1024"), Config{}, Streams{})
	if err == nil {
		t.Error("it went on")
	}
	wantTranscript(t, log, "path_open(dir=3, path=4294967295 bytes at 0x12c, outside of memory, "+
		"open=creat|directory|excl|trunc, rights=0xffffffffffffffff, flags=0xff) did not return")
}

func TestATraceNamesTheTask(t *testing.T) {
	var log []string
	var lines []string
	cfg := &Config{
		Output: func(task int, _ Stream, line []byte) {
			lines = append(lines, fmt.Sprintf("%d %s", task, line))
			log = append(log, "-")
		},
		Trace: func(c *HostCall) {
			log = append(log, fmt.Sprintf("%d %v", c.Task, c))
			if c.Took < 0 {
				t.Errorf("%v took %v", c, c.Took)
			}
		},
	}
	in := guest(t, allImportsGuest(`
		(data (i32.const 16) "\00\01\00\00\06\00\00\00") (data (i32.const 256) "hello\n")
		(func (export "_initialize") (drop (call $sched_yield)))
		(func (export "run")
			(drop (call $poll_task (i64.const 512) (i32.const 100)))
			(drop (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
			(if (i32.eq (i32.load8_u (i32.const 512)) (i32.const 120)) (then (call $proc_exit (i32.const 7)))))`), cfg)
	n, err := drive(in, "abc", "x")
	var exit *ExitError
	if n != 1 || !errors.As(err, &exit) || exit.Status != 7 {
		t.Errorf("Drive = %d, %v", n, err)
	}
	wantTranscript(t, log,
		"-1 sched_yield() = ok",
		"0 poll_task(buf=0x200, cap=100) = 3",
		"-", `0 fd_write(fd=1, data="hello\n") = ok n=6`,
		"1 poll_task(buf=0x200, cap=100) = 1",
		"-", `1 fd_write(fd=1, data="hello\n") = ok n=6`,
		"1 proc_exit(status=7) did not return",
	)
	if want := []string{"0 hello", "1 hello"}; !slices.Equal(lines, want) {
		t.Errorf("lines %q, want %q", lines, want)
	}
}

// A traced guest does what it does otherwise, also where a call ends it.
func TestATraceChangesNothing(t *testing.T) {
	for _, body := range []string{
		calls("fd_write 1 0x7ffffff0 1 8"),
		calls("path_open 3 0 -1 -1 0 0 0 0 1024"),
		calls("fd_write 1 16 1 8") + "unreachable",
	} {
		m := compile(t, testEngine, program(body))
		var plain, traced bytes.Buffer
		_, want := m.Run(context.Background(), nil, Streams{Stdout: &plain})
		_, got := m.Run(context.Background(), &Config{Trace: func(*HostCall) {}}, Streams{Stdout: &traced})
		if got == nil || want == nil || got.Error() != want.Error() || plain.String() != traced.String() {
			t.Errorf("%v, %q, traced\n%v, %q", want, plain.String(), got, traced.String())
		}
	}
}

func TestAPanicOfTheTraceEndsTheGuest(t *testing.T) {
	for name, body := range map[string]string{
		"after a call":                  calls("sched_yield"),
		"after one that did not return": calls("proc_exit 3"),
	} {
		m := compile(t, testEngine, program(body))
		_, err := m.Run(context.Background(), &Config{Trace: func(*HostCall) { panic("ouch") }}, Streams{})
		if err == nil || !strings.Contains(err.Error(), "panic in the host: ouch") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever can be imported can be traced, and its form fits its parameters.
func TestEachCallHasAForm(t *testing.T) {
	for _, f := range importables {
		form := callForms[f.name]
		if form == nil {
			t.Errorf("%s has none", f.name)
			continue
		}
		params := f.typ.Params()
		n := 0
		for _, list := range [][]field{form.args, form.results} {
			for _, field := range list {
				if field.param != n {
					t.Errorf("%s: %s is parameter %d, want %d", f.name, field.name, field.param, n)
				}
				n++
				if twoParams[field.kind] {
					n++
				}
				if field.kind != "skip" && flagNames[field.kind] == nil && choices[field.kind] == nil &&
					field.text(make([]uint64, 9), make([]byte, 100)) == "" {
					t.Errorf("%s: %s is of kind %q, which gives no text", f.name, field.name, field.kind)
				}
			}
		}
		if n != len(params) {
			t.Errorf("%s has %d parameters, and a form for %d", f.name, len(params), n)
		}
	}
	if n := len(errnoNames); n != 77 || errnoName(76) != "ENOTCAPABLE" || errnoName(44) != "ENOENT" || errnoName(69) != "EROFS" || errnoName(77) != "errno 77" {
		t.Errorf("%d errnos", n)
	}
}

func FuzzCallForms(f *testing.F) {
	f.Add(uint8(3), []byte("12345678"), uint64(1<<32-1), uint64(1<<32-1), uint64(0), uint64(1<<63), int32(0))
	f.Add(uint8(30), []byte{0, 0, 0, 0, 8, 0, 0, 0}, uint64(1), uint64(0), uint64(1), uint64(8), int32(77))
	f.Add(uint8(8), []byte{}, uint64(0), uint64(0), uint64(0), uint64(0), int32(-1))
	f.Fuzz(func(t *testing.T, call uint8, memory []byte, a, b, c, d uint64, result int32) {
		form := callForms[importables[int(call)%len(importables)].name]
		args := []uint64{a, b, c, d, a, b, c, d, a}
		text := form.arguments(args, memory) + form.result(args, result, memory)
		if len(text) > 16<<10 || strings.ContainsAny(text, "\n\x1b") {
			t.Errorf("%d bytes: %q", len(text), text[:min(len(text), 500)])
		}
	})
}
