package wasihost

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
	"pgregory.net/rapid"
)

// This file holds our host against wasmtime's own. The same puppet makes the same
// calls in both, on directories that are alike; after each call the errnos and the
// whole memory must be the same, and in the end the files.

// native is the puppet linked to nothing but wasmtime's WASI.
type native struct {
	store *wt.Store
	mem   *wt.Memory
	run   *wt.Func
}

var nativeEngine = sync.OnceValue(wt.NewEngine)

var nativeModule = sync.OnceValues(func() (*wt.Module, error) {
	code, err := wt.Wat2Wasm(puppetText)
	if err != nil {
		return nil, err
	}
	return wt.NewModule(nativeEngine(), code)
})

// There are no tasks: they are put where poll_task would.
var nativeLinker = sync.OnceValues(func() (*wt.Linker, error) {
	linker := wt.NewLinker(nativeEngine())
	return linker, errors.Join(
		linker.DefineWasi(),
		linker.FuncWrap(decaton, "poll_task", func(int64, int32) int32 { return 0 }),
		linker.FuncWrap(decaton, "task_size", func() int32 { return 0 }))
})

func newNative(t testing.TB, dir string) *native {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	module, err := nativeModule()
	check(err)
	n := &native{store: wt.NewStore(nativeEngine())}
	wasi := wt.NewWasiConfig()
	check(wasi.PreopenDir(dir, "/"))
	n.store.SetWasi(wasi)
	linker, err := nativeLinker()
	check(err)
	instance, err := linker.Instantiate(n.store, module)
	check(err)
	n.mem = instance.GetExport(n.store, "memory").Memory()
	n.run = instance.GetFunc(n.store, "run")
	return n
}

func (n *native) memory() []byte { return n.mem.UnsafeData(n.store) }

// try makes a call; the task is put where the puppet would have it from poll_task.
func (n *native) try(task []byte) (int32, error) {
	copy(n.memory()[puppetTask:], task)
	r, err := n.run.Call(n.store)
	if err != nil {
		return 0, err
	}
	return r.(int32), nil
}

// wasiCall is a call that both sides make.
type wasiCall struct {
	text    string // for messages
	name    string
	args    []any
	prepare func(mem []byte)
	// settle makes alike what may differ between the two directories: times, numbers
	// of files, the order of a listing.
	settle func(mem []byte)
}

// Addresses that calls use.
const (
	atOut   = 0x200
	atVec   = 0x280
	atPath  = 0x400
	atPath2 = 0x800
	atData  = 0x1000
	atBuf   = 0x8000
	bufSize = 0x4000
	lent    = 64
)

func callOf(name string, args ...any) *wasiCall {
	return &wasiCall{text: fmt.Sprint(name, args), name: name, args: args}
}

// with puts texts to their addresses before the call.
func (c *wasiCall) with(at int, text string) *wasiCall {
	before := c.prepare
	c.prepare = func(mem []byte) {
		if before != nil {
			before(mem)
		}
		copy(mem[at:], text)
	}
	c.text += fmt.Sprintf(" %q", text)
	return c
}

// vector puts iovecs of these sizes, over one stretch of memory.
func (c *wasiCall) vector(base int, sizes []int) *wasiCall {
	var list []byte
	for _, size := range sizes {
		list = binary.LittleEndian.AppendUint32(list, uint32(base))
		list = binary.LittleEndian.AppendUint32(list, uint32(size))
		base += size
	}
	text := c.text
	c = c.with(atVec, string(list))
	c.text = text + fmt.Sprint(" pieces", sizes)
	return c
}

func openCall(dir int, path string, lookup, oflags int, rights, inherit uint64, fdflags int) *wasiCall {
	return callOf("path_open", dir, lookup, atPath, len(path), oflags, rights, inherit, fdflags, atOut).with(atPath, path)
}

func dataCall(name string, fd int, sizes []int, rest ...any) *wasiCall {
	base := atBuf
	args := append([]any{fd, atVec, len(sizes)}, append(rest, atOut)...)
	c := callOf(name, args...)
	if strings.HasSuffix(name, "write") {
		base = atData
		text := c.text
		c = c.with(atData, strings.Repeat("0123456789abcdef", 0x100))
		c.text = text
	}
	return c.vector(base, sizes)
}

func statCall(c *wasiCall) *wasiCall {
	c.settle = func(mem []byte) {
		clear(mem[atOut:][:16]) // device and number
		// A directory's size and links are the file system's matter; times are kept
		// where a call has set them, to something long ago.
		if mem[atOut+16] == 3 {
			clear(mem[atOut+24:][:16])
		}
		for at := atOut + 40; at < atOut+64; at += 8 {
			if binary.LittleEndian.Uint64(mem[at:]) > 1e15 {
				clear(mem[at:][:8])
			}
		}
	}
	return c
}

func fileStatCall(fd int) *wasiCall { return statCall(callOf("fd_filestat_get", fd, atOut)) }

func pathStatCall(dir, lookup int, path string) *wasiCall {
	return statCall(callOf("path_filestat_get", dir, lookup, atPath, len(path), atOut).with(atPath, path))
}

func pathCall(name string, dir int, path string) *wasiCall {
	return callOf(name, dir, atPath, len(path)).with(atPath, path)
}

func readDirCall(fd int, cookie uint64) *wasiCall {
	c := callOf("fd_readdir", fd, atBuf, bufSize, cookie, atOut)
	c.settle = func(mem []byte) {
		var names []string
		list := mem[atBuf:][:min(binary.LittleEndian.Uint32(mem[atOut:]), bufSize)]
		for len(list) >= 24 {
			n := int(binary.LittleEndian.Uint32(list[16:]))
			if len(list) < 24+n {
				break
			}
			names = append(names, fmt.Sprintf("%s:%d", list[24:][:n], list[20]))
			list = list[24+n:]
		}
		slices.Sort(names)
		clear(mem[atBuf:][:bufSize])
		copy(mem[atBuf:], strings.Join(names, "\n"))
	}
	return c
}

// playground is a directory as calls find it.
func playground(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "a"), []byte("hello, file"), 0o600),
		os.Mkdir(filepath.Join(dir, "d"), 0o700),
		os.WriteFile(filepath.Join(dir, "d", "b"), []byte("below"), 0o600),
		os.Mkdir(filepath.Join(dir, "empty"), 0o700),
		os.Symlink("a", filepath.Join(dir, "link")),
		os.Symlink("d", filepath.Join(dir, "dirlink")),
		os.Symlink("d/b", filepath.Join(dir, "deep")),
		os.Symlink("nowhere", filepath.Join(dir, "dangling")),
		os.Symlink("loop", filepath.Join(dir, "loop")),
		os.Symlink("..", filepath.Join(dir, "out")),
		os.Symlink("/etc", filepath.Join(dir, "abs")),
		os.Symlink("../a", filepath.Join(dir, "d", "up")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// remains is what a directory has become.
func remains(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v", name, info.Mode())
		switch {
		case d.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " -> %s", to)
		case d.Type().IsRegular():
			// Files may be sparse, and end a terabyte further on.
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			head, err := io.ReadAll(io.LimitReader(f, 10_000))
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d bytes %q", info.Size(), head)
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// failer is a test of either kind.
type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// compare makes the calls on both sides, and fails at the first difference.
func compare(t testing.TB, f failer, list []*wasiCall) {
	f.Helper()
	ourDir, theirDir := playground(t), playground(t)
	in, err := compileOnce(t).Instantiate(t.Context(), &Config{Dirs: []Dir{{Host: ourDir, Guest: "/"}}})
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := &puppet{t, in}, newNative(t, theirDir)
	defer in.Close()
	log := ""
	for _, c := range list {
		for _, mem := range [][]byte{ours.memory(), theirs.memory()} {
			clear(mem[puppetFree : atBuf+bufSize])
			for i := range lent { // which the shim borrows now and then
				mem[i] = byte(i + 1)
			}
			if c.prepare != nil {
				c.prepare(mem)
			}
		}
		log += "\n    " + c.text
		got, gotErr := ours.try(c.name, c.args...)
		want, wantErr := theirs.try(puppetCall(t, c.name, c.args...))
		switch {
		case (gotErr == nil) != (wantErr == nil):
			f.Fatalf("%s\nours: %v\ntheirs: %v", log, gotErr, wantErr)
		case gotErr != nil:
			return // both have ended the guest
		case got != want:
			f.Fatalf("%s\nours: %s\ntheirs: %s", log, errnoName(got), errnoName(want))
		}
		log += " = " + errnoName(got)
		if c.settle != nil && got == errnoSuccess {
			c.settle(ours.memory())
			c.settle(theirs.memory())
		}
		if low := ours.memory()[:lent]; !bytes.Equal(low, theirs.memory()[:lent]) {
			f.Fatalf("%s\nthe lowest bytes of memory are now % x", log, low)
		}
		mine, other := ours.memory()[puppetFree:], theirs.memory()[puppetFree:]
		if !bytes.Equal(mine, other) {
			for i := range mine {
				if mine[i] != other[i] {
					f.Fatalf("%s\nat 0x%x, ours: 0x%x, theirs: 0x%x", log, puppetFree+i, mine[i], other[i])
				}
			}
		}
	}
	if got, want := remains(t, ourDir), remains(t, theirDir); got != want {
		f.Fatalf("%s\nours:\n%s\ntheirs:\n%s", log, got, want)
	}
}

var compileOnce = func() func(testing.TB) *Module {
	var once sync.Once
	var m *Module
	return func(t testing.TB) *Module {
		once.Do(func() { m = compile(t, testEngine, puppetText) })
		return m
	}
}()

// paths are the interesting ones of the playground.
var paths = []string{
	"a", "d", "d/b", "link", "dirlink", "dirlink/b", "deep", "dangling", "loop", "out", "abs", "d/up", "new", "d/new",
	"a/", "d/", "link/", "dirlink/", "dangling/", "loop/", "new/", "d//b", "./a", "d/../a", "d/.", "d/..", "a/.", "a/..",
	"..", "../a", "/a", "/", "", ".", "./", "a/b", "link/b", "nosuch/x", "dangling/x", "loop/x", "out/x", "abs/passwd",
	"empty", "empty/", "a\x00b", "\xff\xfe", strings.Repeat("n", 255), strings.Repeat("n", 256), strings.Repeat("d/", 200) + "x",
}

// Every path, opened in every way.
func TestOpeningIsAsNative(t *testing.T) {
	for _, path := range paths {
		for lookup := range 2 {
			var list []*wasiCall
			for _, create := range []int{0, oCreat} { // last, since what is created stays
				for others := 0; others < 16; others += 2 {
					for _, rights := range []uint64{0, rightRead, rightWrite, rightRead | rightWrite, rightsAll} {
						for _, fdflags := range []int{0, fdAppend, fdNonblock} {
							list = append(list, openCall(3, path, lookup, others|create, rights, rights, fdflags), callOf("fd_close", 4))
						}
					}
				}
			}
			compare(t, t, list)
		}
	}
}

// Any calls in any order, on files and directories.
func TestCallsAreAsNative(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 25).Draw(r, "calls")
		// Something is open to begin with.
		list := []*wasiCall{
			openCall(3, "a", 1, 0, rightRead|rightWrite, rightRead|rightWrite, 0),
			openCall(3, "d", 1, oDirectory, rightsAll, rightsAll, 0),
		}
		for range n {
			list = append(list, drawCall(r))
		}
		compare(t, r, list)
	})
}

func drawCall(r *rapid.T) *wasiCall {
	pick := func(what string, of ...int) int { return rapid.SampledFrom(of).Draw(r, what) }
	fd := func() int { return pick("fd", 4, 4, 4, 5, 5, 6, 7, 3, 8, 99, -1) }
	dir := func() int { return pick("dir", 3, 3, 3, 5, 4, 6, 99) }
	path := func() string { return rapid.SampledFrom(paths).Draw(r, "path") }
	lookup := func() int { return pick("lookup", 0, 1) }
	sizes := func() []int {
		return rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 1, 3, 5, 100, 3000}), 0, 4).Draw(r, "sizes")
	}
	offset := func() uint64 {
		return rapid.SampledFrom([]uint64{0, 1, 5, 11, 12, 100, 1 << 20, 1 << 31, 1 << 40, 1 << 63, 1<<64 - 1, 1<<64 - 3}).Draw(r, "offset")
	}
	size := func() uint64 {
		return rapid.SampledFrom([]uint64{0, 1, 5, 11, 12, 100, 5000, 1 << 63, 1<<64 - 1}).Draw(r, "size")
	}
	rights := func() uint64 {
		return rapid.SampledFrom([]uint64{0, rightRead, rightWrite, rightRead | rightWrite, rightsAll}).Draw(r, "rights")
	}
	switch name := rapid.SampledFrom(drawn).Draw(r, "call"); name {
	case "path_open":
		return openCall(dir(), path(), lookup(), pick("oflags", 0, 0, 1, 1, 2, 2, 4, 5, 8, 9, 10, 13, 15), rights(), rights(), pick("fdflags", 0, 0, 0, fdAppend, fdNonblock, 2, 8, 16, 31))
	case "fd_write", "fd_read":
		return dataCall(name, fd(), sizes())
	case "fd_pwrite", "fd_pread":
		return dataCall(name, fd(), sizes(), offset()%(1<<21))
	case "fd_seek":
		return callOf(name, fd(), offset(), pick("whence", 0, 1, 2), atOut)
	case "fd_tell", "fd_fdstat_get", "fd_prestat_get":
		return callOf(name, fd(), atOut)
	case "fd_prestat_dir_name":
		return callOf(name, fd(), atBuf, pick("len", 0, 1, 2, 10))
	case "fd_close", "fd_sync", "fd_datasync":
		return callOf(name, fd())
	case "fd_renumber":
		return callOf(name, fd(), fd())
	case "fd_filestat_get":
		return fileStatCall(fd())
	case "fd_filestat_set_size":
		return callOf(name, fd(), size())
	case "fd_filestat_set_times":
		return callOf(name, fd(), uint64(1e12), uint64(2e12), pick("which", 0, 1, 4, 5, 2, 3, 12))
	case "fd_allocate":
		return callOf(name, fd(), size(), size()%10_000)
	case "fd_advise":
		return callOf(name, fd(), size(), size(), pick("advice", 0, 1, 2, 3, 4, 5))
	case "fd_fdstat_set_flags":
		return callOf(name, fd(), pick("flags", 0, 1, 4, 2, 8, 16))
	case "fd_fdstat_set_rights":
		return callOf(name, fd(), rights(), rights())
	case "fd_readdir":
		return readDirCall(fd(), rapid.SampledFrom([]uint64{0, 0, 1, 99, 1 << 40}).Draw(r, "cookie"))
	case "path_filestat_get":
		return pathStatCall(dir(), lookup(), path())
	case "path_filestat_set_times":
		p := path()
		return callOf(name, dir(), lookup(), atPath, len(p), uint64(3e12), uint64(4e12), pick("which", 1, 4, 5, 3)).with(atPath, p)
	case "path_readlink":
		p := path()
		return callOf(name, dir(), atPath, len(p), atBuf, pick("room", 0, 1, 2, 100), atOut).with(atPath, p)
	case "path_create_directory", "path_remove_directory", "path_unlink_file":
		return pathCall(name, dir(), path())
	case "path_rename":
		p, q := path(), path()
		return callOf(name, dir(), atPath, len(p), dir(), atPath2, len(q)).with(atPath, p).with(atPath2, q)
	case "path_link":
		p, q := path(), path()
		return callOf(name, dir(), lookup(), atPath, len(p), dir(), atPath2, len(q)).with(atPath, p).with(atPath2, q)
	default: // path_symlink
		p, q := path(), path()
		return callOf("path_symlink", atPath, len(p), dir(), atPath2, len(q)).with(atPath, p).with(atPath2, q)
	}
}

// drawn are the calls that TestCallsAreAsNative makes: all that touch files.
var drawn = func() (names []string) {
	for _, f := range importables {
		if strings.HasPrefix(f.name, "fd_") || strings.HasPrefix(f.name, "path_") {
			names = append(names, f.name)
		}
	}
	return append(names, "path_open", "path_open", "path_open", "fd_write", "fd_read")
}()

func pollCall(subs ...subscription) *wasiCall {
	var list []byte
	for _, s := range subs {
		list = append(list, s.bytes()...)
	}
	c := callOf("poll_oneoff", pollIn, pollEvents, len(subs), pollCount).with(pollIn, string(list))
	c.text = fmt.Sprintf("poll_oneoff %+v", subs)
	return c
}

// Where the two differ on purpose is told in ABI.md: wasmtime 14 fails the whole call
// where one subscription can't be had, and ours its event; and it does not know
// points in time on the realtime clock.
func TestPollingIsAsNative(t *testing.T) {
	file := func(kind uint8, fd uint32) subscription {
		return subscription{userdata: uint64(fd), kind: kind, fd: fd}
	}
	for _, c := range []*wasiCall{
		pollCall(),
		pollCall(clockSub(1, clockMonotonic, 0, false)),
		pollCall(clockSub(1, clockRealtime, 0, false)),
		pollCall(clockSub(1, clockMonotonic, 1000, false)),
		pollCall(clockSub(1, clockMonotonic, 1, true)),
		pollCall(clockSub(1, clockMonotonic, 1<<40, false), clockSub(2, clockMonotonic, 1000, false)),
		pollCall(file(subscribeFDWrite, 4)),
	} {
		list := []*wasiCall{openCall(3, "a", 1, 0, rightRead|rightWrite, rightRead|rightWrite, 0), c}
		t.Run(c.text, func(t *testing.T) { compare(t, t, list) })
	}
}
