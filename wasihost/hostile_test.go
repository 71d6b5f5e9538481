package wasihost

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// hostile is a puppet in the hands of random bytes: which call, with which
// arguments, over a memory full of paths, vectors and subscriptions.
type hostile struct {
	t      testing.TB
	module *Module
	cfg    *Config
	p      *puppet
	lines  int
}

// hostileMemory is what the puppet's memory holds at the start.
func hostileMemory(p *puppet) {
	put := func(at int, s string) { p.put(at, s) }
	put(0x1000, "file")
	put(0x1010, "sub/inner")
	put(0x1020, "../../../etc/passwd")
	put(0x1040, "link")
	put(0x1050, "fifo")
	put(0x1060, "new")
	put(0x1070, "\xff\xfe")
	for i, v := range [][2]uint32{{0x1000, 4}, {0x3000, 40000}, {0x1ffff, 1}, {0x20000, 0}, {0x1fff0, 17}, {0xffffffff, 0xffffffff}, {0, 0x20000}} {
		binary.LittleEndian.PutUint32(p.memory()[0x1100+8*i:], v[0])
		binary.LittleEndian.PutUint32(p.memory()[0x1104+8*i:], v[1])
	}
	for i, s := range []subscription{
		clockSub(1, 0, 0, false), clockSub(2, 1, 1, true), clockSub(3, 0, math.MaxUint64, true), clockSub(4, 9, 0, false),
		{userdata: 5, kind: subscribeFDRead, fd: 0}, {userdata: 6, kind: subscribeFDWrite, fd: math.MaxUint32}, {userdata: 7, kind: 99},
		clockSub(8, 1, math.MaxUint64, false),
	} {
		copy(p.memory()[0x1200+i*subscriptionSize:], s.bytes())
	}
	for i := 0x3000; i < 0x3000+40000; i++ {
		p.memory()[i] = "some words\nand\r\nothers "[i%23]
	}
}

// interesting are the values that arguments are drawn from.
var interesting = []uint64{
	0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 48, 64, 100, 200, 255, 1000,
	0x1000, 0x1010, 0x1020, 0x1040, 0x1050, 0x1060, 0x1070, 0x1100, 0x1108, 0x1110, 0x1118, 0x1120, 0x1128, 0x1130,
	0x1200, 0x1230, 0x1260, 0x1290, 0x12c0, 0x12f0, 0x1320, 0x1350, 0x3000, 0x8000,
	0x1ffc0, 0x1ffd0, 0x1fff8, 0x1fffc, 0x1ffff, 0x20000, 0x20001, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff,
	1 << 32, 1<<32 + 0x1000, 1 << 63, math.MaxUint64, rightRead, rightWrite, rightsAll, 40000, 9, 41,
}

// play makes calls until the bytes are used up: one for the call, one for each
// argument.
func (h *hostile) play(script []byte) {
	for len(script) > 0 {
		f := importables[int(script[0])%len(importables)]
		script = script[1:]
		args := make([]any, len(f.typ.Params()))
		for i := range args {
			args[i] = 0
			if i < len(script) {
				args[i] = interesting[int(script[i])%len(interesting)]
			}
		}
		script = script[min(len(script), len(args)):]
		h.try(f.name, args)
	}
}

func (h *hostile) try(name string, args []any) {
	if h.p == nil {
		h.p = &puppet{h.t, nil}
		h.p.Instance = start(h.t, h.module, h.cfg)
		hostileMemory(h.p)
	}
	_, err := h.p.try(name, args...)
	var trap *TrapError
	var exit *ExitError
	var late *TimeoutError
	switch {
	case err == nil:
		if !h.p.Alive() {
			h.t.Fatalf("%s%v: dead without an error", name, args)
		}
	case errors.As(err, &trap) && trap.Reason != "" && len(trap.Reason) < 1000 && !strings.Contains(trap.Reason, "panic"),
		errors.As(err, &exit) && name == "proc_exit",
		errors.As(err, &late): // a wait, or any call on a machine that is very busy
		if h.p.Alive() {
			h.t.Fatalf("%s%v: alive after %v", name, args, err)
		}
		h.p.Close()
		h.p = nil
	default:
		h.t.Fatalf("%s%v: %T %v", name, args, err, err)
	}
	if h.p != nil {
		if n := h.p.box.word(shim.FDCount); n > shim.FDMax {
			h.t.Fatalf("%s%v: %d descriptors", name, args, n)
		}
	}
}

func newHostile(t testing.TB, dir string, readOnly bool) *hostile {
	h := &hostile{t: t, module: puppetModule()}
	h.cfg = &Config{
		TaskTimeout: tick,
		Args:        []string{"guest"},
		Dirs:        []Dir{{Host: dir, Guest: "/", ReadOnly: readOnly}},
		Output: func(task int, s Stream, line []byte) {
			if task != 0 || s != Stdout && s != Stderr || len(line) > maxLine {
				h.t.Errorf("task %d, stream %d, %d bytes", task, s, len(line))
			}
			h.lines++
		},
	}
	return h
}

func hostileTree(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "granted")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "sub"), 0o755),
		os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o644),
		os.WriteFile(filepath.Join(dir, "sub", "inner"), []byte("inner"), 0o644),
		os.Symlink("file", filepath.Join(dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestNoCallsOfAGuestHarmTheHost: whatever a guest calls, the process lives, the
// read-only directory stays as it is, and errors are of the kinds that Drive has.
func TestNoCallsOfAGuestHarmTheHost(t *testing.T) {
	dir := hostileTree(t)
	before := snapshot(t, dir)
	lines := 0
	part := rapid.OneOf(rapid.SampledFrom(hostileScripts(t)), rapid.SliceOfN(rapid.Byte(), 0, 20))
	rapid.Check(t, func(rt *rapid.T) {
		h := newHostile(t, dir, true)
		h.play(slices.Concat(rapid.SliceOfN(part, 0, 20).Draw(rt, "script")...))
		if h.p != nil {
			h.p.Close()
		}
		lines += h.lines
	})
	if after := snapshot(t, dir); after != before {
		t.Errorf("the directory changed:\n%s\nwas:\n%s", after, before)
	}
	if lines == 0 {
		t.Error("no guest wrote a line: the calls are not what they should be")
	}
}

// hostileScripts are calls that do something.
func hostileScripts(t testing.TB) [][]byte {
	index := func(name string) byte {
		i := slices.IndexFunc(importables, func(f importable) bool { return f.name == name })
		if i < 0 {
			t.Fatal(name)
		}
		return byte(i)
	}
	value := func(v uint64) byte {
		i := slices.Index(interesting, v)
		if i < 0 {
			t.Fatal(v)
		}
		return byte(i)
	}
	call := func(name string, args ...uint64) []byte {
		b := []byte{index(name)}
		for _, a := range args {
			b = append(b, value(a))
		}
		return b
	}
	return [][]byte{
		call("fd_write", 1, 0x1108, 1, 0x8000),
		call("fd_write", 1, 0x1100, 7, 0x8000),
		call("fd_write", 2, 0x1130, 1, 0x8000),
		append(call("path_open", 3, 1, 0x1000, 4, 0, rightRead, 0, 0, 0x8000), call("fd_renumber", 4, 1)...),
		append(call("fd_renumber", 1, 5), call("fd_write", 5, 0x1108, 1, 0x8000)...),
		call("poll_oneoff", 0x1200, 0x8000, 8, 0x3000),
		call("poll_oneoff", 0x1350, 0x1350, 1, 0x1350),
		call("poll_oneoff", 0x1ffd0, 0x1fff8, 0xffffffff, 0x20000),
		call("fd_readdir", 3, 0x8000, 1000, 0, 0x3000),
		call("random_get", 0, 0xffffffff),
		call("path_link", 3, 0, 0x1000, 4, 3, 0x1060, 3),
		call("path_rename", 3, 0x1000, 4, 3, 0x1060, 3),
		call("path_unlink_file", 3, 0x1000, 4),
		call("fd_close", 3),
		slices.Concat(
			call("path_open", 3, 1, 0x1000, 4, 0, rightsAll, 0, 0, 0x8000),
			call("fd_filestat_set_size", 4, math.MaxUint64),
			call("fd_filestat_set_times", 4, math.MaxUint64, math.MaxUint64, 5),
			call("fd_seek", 4, math.MaxUint64, 1, 0x8000),
			call("fd_seek", 4, 1<<63, 0, 0x8000),
			call("fd_pwrite", 4, 0x1108, 1, math.MaxUint64, 0x8000),
			call("fd_pread", 4, 0x1108, 1, 1<<63, 0x8000),
			call("fd_advise", 4, math.MaxUint64, math.MaxUint64, 5),
			call("fd_advise", 4, 1<<63, 0, 1),
			call("fd_readdir", 3, 0x8000, 1000, math.MaxUint64, 0x3000),
			call("path_filestat_set_times", 3, 1, 0x1000, 4, math.MaxUint64, 1<<63, 5)),
		call("proc_exit", 255),
	}
}

func FuzzHostCalls(f *testing.F) {
	for _, script := range hostileScripts(f) {
		f.Add(script)
	}
	dir := hostileTree(f)
	f.Fuzz(func(t *testing.T, script []byte) {
		script = script[:min(len(script), 100)]
		// Where all is allowed, nothing can be said of the directory.
		newHostile(t, hostileTree(t), false).play(script)
		before := snapshot(t, dir)
		h := newHostile(t, dir, true)
		h.play(script)
		if after := snapshot(t, dir); after != before {
			t.Errorf("the directory changed:\n%s\nwas:\n%s", after, before)
		}
	})
}

// FuzzPollOneoff takes the subscriptions themselves from the fuzzer.
func FuzzPollOneoff(f *testing.F) {
	f.Add(clockSub(1, 0, 0, false).bytes(), uint32(pollIn), uint32(pollEvents), uint32(1))
	f.Add(append(clockSub(1, 1, 1<<40, true).bytes(), subscription{kind: subscribeFDRead}.bytes()...), uint32(pollIn), uint32(pollIn), uint32(2))
	f.Add([]byte{}, uint32(puppetEnd-48), uint32(puppetEnd-32), uint32(1))
	f.Add([]byte{8: 255}, uint32(0), uint32(0), uint32(math.MaxUint32))
	m := puppetModule()
	f.Fuzz(func(t *testing.T, subs []byte, in, events, n uint32) {
		p := &puppet{t, start(t, m, &Config{TaskTimeout: tick})}
		copy(p.memory()[pollIn:pollEvents], subs)
		errno, err := p.try("poll_oneoff", in, events, n, pollCount)
		var trap *TrapError
		var late *TimeoutError
		switch {
		case err == nil && errno == 0:
			// Overlapping areas may have cost the guest its count, but not more.
			if got := p.word(pollCount); (events+n*eventSize <= pollCount || events > pollCount+4) && (got == 0 || got > n) {
				t.Errorf("%d events of %d", got, n)
			}
		case err == nil && errno == errInval, errors.As(err, &late):
		case errors.As(err, &trap) && strings.HasPrefix(trap.Reason, "poll_oneoff was given address"):
		default:
			t.Errorf("errno %d, %v", errno, err)
		}
	})
}
