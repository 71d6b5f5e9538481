package wasihost

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// testEngine keeps time by the real clock, for all tests that do not care.
var testEngine *Engine

func TestMain(m *testing.M) {
	var err error
	if testEngine, err = NewEngine(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	testEngine.Close()
	for i, in := range registry.slots {
		if in != nil && code == 0 {
			fmt.Fprintf(os.Stderr, "instance %d of %s was not closed\n", i, in.module.name)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func compile(t testing.TB, e *Engine, text string) *Module {
	t.Helper()
	m, err := e.Compile("guest.wat", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func start(t testing.TB, m *Module, cfg *Config) *Instance {
	t.Helper()
	in, err := m.Instantiate(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Close)
	return in
}

func guest(t testing.TB, text string, cfg *Config) *Instance {
	t.Helper()
	return start(t, compile(t, testEngine, text), cfg)
}

func drive(in *Instance, tasks ...string) (int, error) {
	list := make([][]byte, len(tasks))
	for i, s := range tasks {
		list[i] = []byte(s)
	}
	return in.Drive(context.Background(), list)
}

// recorder collects output as "task stream line" strings.
type recorder struct{ lines []string }

func (r *recorder) output(task int, stream Stream, line []byte) {
	r.lines = append(r.lines, fmt.Sprintf("%d %s %q", task, stream, line))
}

// puppet is a guest that makes the calls that a test tells it to: a task is the
// index of a function in importables and its arguments.
type puppet struct {
	t testing.TB
	*Instance
}

// Addresses in the puppet's memory, which has two pages.
const (
	puppetTask = 0x100 // where it polls its task
	puppetFree = 0x200 // from here on it is the test's
	puppetEnd  = 2 * 65536
)

func newPuppet(t testing.TB, cfg *Config) *puppet {
	t.Helper()
	return &puppet{t, start(t, puppetModule(), cfg)}
}

var puppetModule = sync.OnceValue(func() *Module {
	m, err := testEngine.Compile("puppet.wat", []byte(puppetText))
	if err != nil {
		panic(err)
	}
	return m
})

// puppetText imports everything, and run calls what the task names.
var puppetText = func() string {
	var b strings.Builder
	var names []string
	for _, f := range importables {
		name := "$do_" + f.name
		names = append(names, name)
		fmt.Fprintf(&b, "(func %s (result i32) (call $%s", name, f.name)
		for i, l := range f.typ.Params() {
			fmt.Fprintf(&b, " (%s.load (i32.const %d))", map[rune]string{'i': "i32", 'I': "i64"}[l], puppetTask+8+8*i)
		}
		b.WriteString(")")
		if f.typ.Results() == "" {
			b.WriteString(" (i32.const 0)")
		}
		b.WriteString(")\n")
	}
	fmt.Fprintf(&b, "(table %d funcref) (elem (i32.const 0) func %s)\n", len(names), strings.Join(names, " "))
	fmt.Fprintf(&b, `(func (export "run") (result i32)
  (drop (call $poll_task (i64.const %d) (i32.const 256)))
  (call_indirect (result i32) (i32.load (i32.const %[1]d))))`, puppetTask)
	return allImportsGuest(b.String())
}()

// try makes a call and returns what it returned.
func (p *puppet) try(name string, args ...any) (int32, error) {
	p.t.Helper()
	n, err := p.Drive(context.Background(), [][]byte{puppetCall(p.t, name, args...)})
	var result *ResultError
	switch {
	case errors.As(err, &result):
		return result.Code, nil
	case err != nil:
		return 0, err
	case n != 1:
		p.t.Fatalf("Drive returned %d without an error", n)
	}
	return 0, nil
}

// call is try where nothing may fail but the call.
func (p *puppet) call(name string, args ...any) int32 {
	p.t.Helper()
	r, err := p.try(name, args...)
	if err != nil {
		p.t.Fatalf("%s%v: %v", name, args, err)
	}
	return r
}

// want is call where a certain errno is expected.
func (p *puppet) want(errno int32, name string, args ...any) {
	p.t.Helper()
	if got := p.call(name, args...); got != errno {
		p.t.Errorf("%s%v = errno %d, want %d", name, args, got, errno)
	}
}

func puppetCall(t testing.TB, name string, args ...any) []byte {
	t.Helper()
	index := -1
	for i, f := range importables {
		if f.name == name {
			index = i
			if len(args) != len(f.typ.Params()) {
				t.Fatalf("%s takes %d arguments, not %d", name, len(f.typ.Params()), len(args))
			}
		}
	}
	if index < 0 {
		t.Fatalf("there is no call %q", name)
	}
	task := binary.LittleEndian.AppendUint64(nil, uint64(index))
	for _, a := range args {
		switch a := a.(type) {
		case int:
			task = binary.LittleEndian.AppendUint64(task, uint64(a))
		case uint32:
			task = binary.LittleEndian.AppendUint64(task, uint64(a))
		case uint64:
			task = binary.LittleEndian.AppendUint64(task, a)
		default:
			t.Fatalf("argument %v of type %T", a, a)
		}
	}
	return task
}

// memory is the guest's, to read and write between calls.
func (p *puppet) memory() []byte { return view(p.context, p.Instance.memory) }

// put writes a string and returns its address and length.
func (p *puppet) put(at int, s string) (addr, length int) {
	copy(p.memory()[at:], s)
	return at, len(s)
}

func (p *puppet) word(at int) uint32 { return binary.LittleEndian.Uint32(p.memory()[at:]) }
func (p *puppet) long(at int) uint64 { return binary.LittleEndian.Uint64(p.memory()[at:]) }

// iovec writes one that spans a string, followed by the string.
func (p *puppet) iovec(at int, s string) int {
	binary.LittleEndian.PutUint32(p.memory()[at:], uint32(at+8))
	binary.LittleEndian.PutUint32(p.memory()[at+4:], uint32(len(s)))
	p.put(at+8, s)
	return at
}

// say writes a string to a descriptor, and returns the errno and the count.
func (p *puppet) say(fd int, s string) (errno int32, n uint32) {
	p.t.Helper()
	const count, vec = puppetFree, puppetFree + 16
	errno = p.call("fd_write", fd, p.iovec(vec, s), 1, count)
	return errno, p.word(count)
}

// open opens a path, and returns the errno and the descriptor.
func (p *puppet) open(dir int, path string, oflags, rights, fdflags int) (errno int32, fd int) {
	p.t.Helper()
	const opened = puppetFree
	at, n := p.put(puppetFree+16, path)
	errno = p.call("path_open", dir, lookupFollow, at, n, oflags, rights, rights, fdflags, opened)
	return errno, int(p.word(opened))
}

// Values of WASI preview 1 that tests use.
const (
	lookupFollow = 1

	oCreat     = 1
	oDirectory = 2
	oExcl      = 4
	oTrunc     = 8

	rightRead  = 1 << 1
	rightWrite = 1 << 6
	rightsAll  = 1<<29 - 1

	fdAppend   = 1
	fdNonblock = 4

	errAcces  = 2
	errBadf   = 8
	errExist  = 20
	errInval  = 28
	errIsdir  = 31
	errLoop   = 32
	errMfile  = 33
	errNoent  = 44
	errNotdir = 54
	errNotsup = 58
	errPerm   = 63
	errRofs   = 69
	errSpipe  = 70
	errNotcap = 76
)
