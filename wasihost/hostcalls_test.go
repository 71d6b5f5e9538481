package wasihost

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// hostCall is one function that guests may import: what its arguments are, in a
// letter each, which says what is sound there and what is not.
//
//	f  a descriptor of a file           d  a descriptor of a directory
//	o  where a result is to be written  s  a path, whose length follows as n
//	b  a buffer, whose length follows as n, or as r where what does not fit is cut
//	v  vectors, whose number follows as c
//	u  subscriptions; the events are an o and their number an m
//	x  a number that is not an address
type hostCall struct {
	name string
	args string
}

// hostCalls are all of importables; a test sees to that.
var hostCalls = []hostCall{
	{"poll_task", "pn"}, {"task_size", ""},
	{"args_get", "oo"}, {"args_sizes_get", "oo"}, {"environ_get", "oo"}, {"environ_sizes_get", "oo"},
	{"clock_res_get", "xo"}, {"clock_time_get", "xxo"},
	{"fd_advise", "fxxx"}, {"fd_allocate", "fxx"}, {"fd_close", "f"}, {"fd_datasync", "f"},
	{"fd_fdstat_get", "fo"}, {"fd_fdstat_set_flags", "fx"}, {"fd_fdstat_set_rights", "fxx"},
	{"fd_filestat_get", "fo"}, {"fd_filestat_set_size", "fx"}, {"fd_filestat_set_times", "fxxx"},
	{"fd_pread", "fvcxo"}, {"fd_prestat_get", "do"}, {"fd_prestat_dir_name", "dbr"},
	{"fd_pwrite", "fvcxo"}, {"fd_read", "fvco"}, {"fd_readdir", "dbrxo"}, {"fd_renumber", "ff"},
	{"fd_seek", "fxxo"}, {"fd_sync", "f"}, {"fd_tell", "fo"}, {"fd_write", "fvco"},
	{"path_create_directory", "dsn"}, {"path_filestat_get", "dxsno"}, {"path_filestat_set_times", "dxsnxxx"},
	{"path_link", "dxsndsn"}, {"path_open", "dxsnxxxxo"}, {"path_readlink", "dsnbno"},
	{"path_remove_directory", "dsn"}, {"path_rename", "dsndsn"}, {"path_symlink", "sndsn"},
	{"path_unlink_file", "dsn"}, {"poll_oneoff", "uomo"}, {"proc_exit", "x"}, {"proc_raise", "x"},
	{"random_get", "bn"}, {"sched_yield", ""}, {"sock_accept", "fxo"},
	{"sock_recv", "fvcxoo"}, {"sock_send", "fvcxo"}, {"sock_shutdown", "fx"},
}

func TestHostCallsAreAllOfThem(t *testing.T) {
	if len(hostCalls) != len(importables) {
		t.Fatalf("%d calls, and guests may import %d", len(hostCalls), len(importables))
	}
	for i, f := range importables {
		if hostCalls[i].name != f.name || len(hostCalls[i].args) != len(f.typ.Params()) {
			t.Errorf("call %d is %v, want %s with %d arguments", i, hostCalls[i], f.name, len(f.typ.Params()))
		}
	}
}

// Where the arguments of a sound call lie in the puppet's memory.
const (
	callPath   = 0x1000
	callVector = 0x2000
	callBuffer = 0x3000
	callResult = 0x4000
	callEvents = 0x5000
)

// callPuppet is a puppet with a writable directory as descriptor 3 and a file in it
// as descriptor 4. What is outside of the directory is checked by the caller.
func callPuppet(t testing.TB, dir string) *puppet {
	p := &puppet{t, start(t, puppetModule(), &Config{
		Args: []string{"guest", "argument"}, Env: []string{"NAME=value"},
		Dirs:        []Dir{{Host: dir, Guest: "/"}},
		TaskTimeout: time.Second,
		Output:      func(int, Stream, []byte) {},
	})}
	if e, fd := p.open(3, "file", oCreat, rightRead|rightWrite, 0); e != 0 || fd != 4 {
		t.Fatalf("opening the file: errno %d, descriptor %d", e, fd)
	}
	p.put(callPath, "file")
	for i := range 4 {
		binary.LittleEndian.PutUint32(p.memory()[callVector+8*i:], uint32(callBuffer+64*i))
		binary.LittleEndian.PutUint32(p.memory()[callVector+8*i+4:], 64)
	}
	return p
}

// sound are arguments that the call has no reason to refuse for where they point.
func (c hostCall) sound() []any {
	args := make([]any, len(c.args))
	for i, kind := range c.args {
		args[i] = map[rune]any{
			'f': 4, 'd': 3, 'o': callResult + 0x100*i, 's': callPath, 'n': 4, 'b': callBuffer, 'p': callBuffer,
			'v': callVector, 'c': 4, 'u': callVector, 'm': 1, 'x': 0,
		}[kind]
		if kind == 'o' && c.name == "poll_oneoff" && i == 1 {
			args[i] = callEvents
		}
		if kind == 'r' || kind == 'n' && c.args[i-1] != 's' {
			args[i] = 256
		}
	}
	return args
}

// nasty are values for any argument; those in 64 bits are cut where it has 32.
var nasty = []uint64{
	0, 1, 3, 7, 0xff, 1 << 15, 1<<16 - 1, 1 << 16,
	puppetEnd - 1, puppetEnd - 3, puppetEnd, puppetEnd + 1, 1 << 20, 1 << 28, 1<<29 + 1,
	1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 65536, 1<<32 - 8, 1<<32 - 4, 1<<32 - 1,
	1 << 32, 1<<32 + callBuffer, 1<<63 - 1, 1 << 63, 1<<64 - 4096, 1<<64 - 1,
}

// reachesOutside reports whether an argument, as an address or a length, reaches beyond
// the puppet's memory.
func reachesOutside(kind rune, v uint64) bool {
	switch kind {
	case 'o', 's', 'b', 'v', 'u':
		return v&math.MaxUint32 > puppetEnd-1
	case 'p':
		return v > puppetEnd-1
	case 'n', 'c', 'm':
		return v&math.MaxUint32 > puppetEnd
	}
	return false
}

// end is how a call may end: it returns an errno, or the guest is ended by a named
// error. Anything else fails the test.
func (p *puppet) end(name string, args ...any) (errno int32, ended bool) {
	p.t.Helper()
	begun := time.Now()
	errno, err := p.try(name, args...)
	if took := time.Since(begun); took > 10*time.Second {
		p.t.Errorf("%s%#x: it took %v, with a limit of 1s", name, args, took)
	}
	var trap *TrapError
	var exit *ExitError
	var late *TimeoutError
	switch {
	case err == nil:
		if c := findImportable(preview1, name); c != nil && (errno < 0 || errno > 76) {
			p.t.Errorf("%s%#x = %d, which is no errno", name, args, errno)
		}
		return errno, false
	case errors.As(err, &trap):
		if trap.Reason == "" || trap.Limit == 0 {
			p.t.Errorf("%s%#x: a trap without a reason or a limit: %v", name, args, err)
		}
	case errors.As(err, &exit), errors.As(err, &late):
	default:
		p.t.Errorf("%s%#x: %v (%T)", name, args, err, err)
	}
	if p.Alive() {
		p.t.Errorf("%s%#x: the guest is alive after %v", name, args, err)
	}
	return 0, true
}

// TestHostCallsWithNastyArguments puts each nasty value in the place of each
// argument of each call, the others being sound.
func TestHostCallsWithNastyArguments(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "granted")
	witness := filepath.Join(root, "witness")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(witness, []byte("untouched"), 0o600)); err != nil {
		t.Fatal(err)
	}
	before := outsideOf(t, root)
	for i, c := range hostCalls {
		t.Run(c.name, func(t *testing.T) {
			for at, kind := range c.args {
				for _, v := range nasty {
					wide := importables[i].typ.Params()[at] == 'I'
					if !wide && v > 1<<32-1 {
						continue
					}
					p := callPuppet(t, dir)
					args := c.sound()
					args[at] = v
					errno, ended := p.end(c.name, args...)
					if reachesOutside(kind, v) && !ended && errno == 0 {
						t.Errorf("%s%#x: a success, and argument %d reaches outside of memory", c.name, args, at)
					}
					if !ended {
						if r := p.call("task_size"); r != -1 {
							t.Errorf("%s%#x: the next task: %d", c.name, args, r)
						}
					}
					p.Close()
				}
			}
			fresh := callPuppet(t, dir)
			if n, err := fresh.Drive(context.Background(), [][]byte{puppetCall(t, "sched_yield")}); n != 1 || err != nil {
				t.Errorf("a task of a fresh instance: %d, %v", n, err)
			}
		})
	}
	if after := outsideOf(t, root); after != before {
		t.Errorf("something outside of the directory changed: %s, before %s", after, before)
	}
}

// outsideOf is what is in a directory, its first level and the file witness.
func outsideOf(t *testing.T, root string) string {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "witness"))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(entries, string(text))
}
