package wasihost

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// tree makes a directory with a file, a directory with a file in it, and links.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o644),
		os.Mkdir(filepath.Join(dir, "sub"), 0o755),
		os.WriteFile(filepath.Join(dir, "sub", "inner"), []byte("inner"), 0o644),
		os.Mkdir(filepath.Join(dir, "empty"), 0o755),
		os.Symlink("file", filepath.Join(dir, "link")),
		os.Symlink("/etc", filepath.Join(dir, "out")),
		os.Symlink("../..", filepath.Join(dir, "up")),
		syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644),
		os.Symlink("fifo", filepath.Join(dir, "fifolink")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// snapshot is all that is in a directory, with times and contents.
func snapshot(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %v %v links %d", path, info.Mode(), info.ModTime(), stat.Nlink)
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %q", content)
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Descriptors of the two directories that filePuppet grants.
const (
	fdReadOnly = 3
	fdWritable = 4
)

func filePuppet(t *testing.T) (p *puppet, readOnly, writable string) {
	t.Helper()
	readOnly, writable = tree(t), tree(t)
	p = newPuppet(t, &Config{Dirs: []Dir{
		{Host: readOnly, Guest: "/ro", ReadOnly: true},
		{Host: writable, Guest: "/rw"},
	}})
	return p, readOnly, writable
}

// TestReadOnlyDirectories tries every way to change something, on what is read-only
// and, to see that the attempt is a sound one, on what is not.
func TestReadOnlyDirectories(t *testing.T) {
	// at opens what a case needs in the directory, through one more descriptor if
	// the case says so.
	type attempt func(p *puppet, dir int) int32
	path := func(p *puppet, s string) (int, int) { return p.put(0x1000, s) }
	path2 := func(p *puppet, s string) (int, int) { return p.put(0x2000, s) }
	cases := map[string]attempt{
		"making a directory": func(p *puppet, dir int) int32 {
			a, n := path(p, "new")
			return p.call("path_create_directory", dir, a, n)
		},
		"removing a directory": func(p *puppet, dir int) int32 {
			a, n := path(p, "empty")
			return p.call("path_remove_directory", dir, a, n)
		},
		"removing a file": func(p *puppet, dir int) int32 {
			a, n := path(p, "file")
			return p.call("path_unlink_file", dir, a, n)
		},
		"renaming": func(p *puppet, dir int) int32 {
			a, n := path(p, "file")
			b, m := path2(p, "other")
			return p.call("path_rename", dir, a, n, dir, b, m)
		},
		"moving a file out": func(p *puppet, dir int) int32 {
			a, n := path(p, "file")
			b, m := path2(p, "moved-out")
			return p.call("path_rename", dir, a, n, fdWritable, b, m)
		},
		"moving a file in": func(p *puppet, dir int) int32 {
			a, n := path(p, "sub/inner")
			b, m := path2(p, "moved-in")
			return p.call("path_rename", fdWritable, a, n, dir, b, m)
		},
		"linking in": func(p *puppet, dir int) int32 {
			a, n := path(p, "file")
			b, m := path2(p, "linked-in")
			return p.call("path_link", fdWritable, 0, a, n, dir, b, m)
		},
		"linking out, which would give a writable name to a file": func(p *puppet, dir int) int32 {
			a, n := path(p, "file")
			b, m := path2(p, "linked-out")
			return p.call("path_link", dir, 0, a, n, fdWritable, b, m)
		},
		"making a symbolic link": func(p *puppet, dir int) int32 {
			a, n := path(p, "file")
			b, m := path2(p, "symlink")
			return p.call("path_symlink", a, n, dir, b, m)
		},
		"setting a path's times": func(p *puppet, dir int) int32 {
			a, n := path(p, "file")
			return p.call("path_filestat_set_times", dir, lookupFollow, a, n, 1, 1, 5)
		},
		"creating a file": func(p *puppet, dir int) int32 {
			e, _ := p.open(dir, "new", oCreat, rightRead|rightWrite, 0)
			return e
		},
		"creating a file that is there": func(p *puppet, dir int) int32 {
			e, _ := p.open(dir, "file", oCreat, rightRead, 0)
			return e
		},
		"truncating by opening": func(p *puppet, dir int) int32 {
			e, _ := p.open(dir, "file", oTrunc, rightRead|rightWrite, 0)
			return e
		},
		"opening for writing": func(p *puppet, dir int) int32 {
			e, _ := p.open(dir, "file", 0, rightWrite, 0)
			return e
		},
		"opening for appending": func(p *puppet, dir int) int32 {
			e, _ := p.open(dir, "file", 0, rightRead|rightWrite, fdAppend)
			return e
		},
	}
	// The same on a descriptor of a file that was opened for reading, or in the
	// writable directory for both.
	onFile := func(call func(p *puppet, fd int) int32) attempt {
		return func(p *puppet, dir int) int32 {
			rights := rightRead
			if dir != fdReadOnly && p.isWritable(dir) {
				rights |= rightWrite
			}
			e, fd := p.open(dir, "file", 0, rights, 0)
			if e != 0 {
				p.t.Fatalf("opening for reading: errno %d", e)
			}
			return call(p, fd)
		}
	}
	cases["writing"] = onFile(func(p *puppet, fd int) int32 { e, _ := p.say(fd, "x"); return e })
	cases["writing at an offset"] = onFile(func(p *puppet, fd int) int32 {
		return p.call("fd_pwrite", fd, p.iovec(0x1000, "x"), 1, 0, puppetFree)
	})
	cases["truncating"] = onFile(func(p *puppet, fd int) int32 { return p.call("fd_filestat_set_size", fd, 1) })
	cases["setting a file's times"] = onFile(func(p *puppet, fd int) int32 {
		return p.call("fd_filestat_set_times", fd, 1, 1, 5)
	})
	cases["setting a directory's times"] = func(p *puppet, dir int) int32 {
		return p.call("fd_filestat_set_times", dir, 1, 1, 5)
	}
	cases["writing through a descriptor with another number"] = onFile(func(p *puppet, fd int) int32 {
		p.want(0, "fd_renumber", fd, 77)
		e, _ := p.say(77, "x")
		return e
	})
	cases["writing through a descriptor that took another's place"] = onFile(func(p *puppet, fd int) int32 {
		_, other := p.open(fdWritable, "sub/inner", 0, rightRead|rightWrite, 0)
		p.want(0, "fd_renumber", fd, other)
		e, _ := p.say(other, "x")
		return e
	})
	allocate := onFile(func(p *puppet, fd int) int32 { return p.call("fd_allocate", fd, 0, 100) })

	for name, attempt := range cases {
		for _, via := range []struct {
			name string
			dir  func(p *puppet, dir int) int
		}{
			{"", func(_ *puppet, dir int) int { return dir }},
			{" through a descriptor from opendir", func(p *puppet, dir int) int {
				rights := rightsAll
				if dir != fdReadOnly {
					rights &^= rightWrite // the library refuses it for directories
				}
				e, fd := p.open(dir, ".", oDirectory, rights, 0)
				if e != 0 {
					p.t.Fatalf("opendir: errno %d", e)
				}
				return fd
			}},
			{" through one that was renumbered", func(p *puppet, dir int) int {
				e, fd := p.open(dir, ".", oDirectory, rightRead, 0)
				if e != 0 {
					p.t.Fatalf("opening a directory: errno %d", e)
				}
				p.want(0, "fd_renumber", fd, 1000)
				return 1000
			}},
		} {
			t.Run(name+via.name, func(t *testing.T) {
				p, dir, _ := filePuppet(t)
				before := snapshot(t, dir)
				if errno := attempt(p, via.dir(p, fdReadOnly)); errno != errRofs {
					t.Errorf("errno %d, want EROFS", errno)
				}
				if after := snapshot(t, dir); after != before {
					t.Errorf("it changed:\n%s\nwas:\n%s", after, before)
				}
				p, _, dir = filePuppet(t)
				before = snapshot(t, dir)
				if errno := attempt(p, via.dir(p, fdWritable)); errno != 0 {
					t.Errorf("errno %d in the writable directory", errno)
				}
				if after := snapshot(t, dir); after == before && name != "creating a file that is there" && !strings.HasPrefix(name, "opening") {
					t.Error("nothing changed in the writable directory: the attempt proves nothing")
				}
			})
		}
	}
	t.Run("allocating", func(t *testing.T) {
		p, _, _ := filePuppet(t)
		if errno := allocate(p, fdReadOnly); errno != errRofs {
			t.Errorf("errno %d, want EROFS", errno)
		}
		if errno := allocate(p, fdWritable); errno != errNotsup {
			t.Errorf("errno %d, want ENOTSUP: the library allocates nowhere", errno)
		}
	})
}

func TestAReadOnlyDirectoryRefusesWhatIsNoSoundAttemptToo(t *testing.T) {
	p, _, _ := filePuppet(t)
	for _, c := range []struct {
		name           string
		path           string
		oflags, rights int
	}{
		{"truncating without a right to write", "file", oTrunc, rightRead},
		{"truncating what is not there", "nothing", oTrunc, rightRead},
		{"creating a directory by opening it", "sub", oCreat | oDirectory, rightRead},
		{"creating exclusively what is there", "file", oCreat | oExcl, rightRead | rightWrite},
		{"creating where a FIFO is", "fifo", oCreat, rightWrite},
		{"creating outside", "../x", oCreat, rightWrite},
	} {
		if e, _ := p.open(fdReadOnly, c.path, c.oflags, c.rights, 0); e != errRofs {
			t.Errorf("%s: errno %d, want EROFS", c.name, e)
		}
	}
}

// isWritable looks into the shim's table.
func (p *puppet) isWritable(fd int) bool {
	for i := range p.box.word(shim.FDCount) {
		if at := shim.FDTable + i*shim.FDEntry; p.box.word(at) == uint32(fd) {
			return p.box.word(at+4)&shim.FDReadOnly == 0
		}
	}
	return false
}

func TestReadOnlyDirectoriesCanBeRead(t *testing.T) {
	p, _, _ := filePuppet(t)
	read := func(fd int) string {
		copy(p.memory()[0x3000:], "\x00\x40\x00\x00\x00\x10\x00\x00") // 0x1000 bytes at 0x4000
		p.want(0, "fd_read", fd, 0x3000, 1, puppetFree)
		return string(p.memory()[0x4000:][:p.word(puppetFree)])
	}
	for _, c := range []struct {
		name, path string
		oflags     int
		rights     int
		fdflags    int
		content    string
	}{
		{"a file for reading", "file", 0, rightRead, 0, "content"},
		{"as C libraries do: every right but those to write and resize", "file", 0, rightsAll &^ (1 | 1<<6 | 1<<8 | 1<<14 | 1<<22), 0, "content"},
		{"with rights to allocate and resize, but not to write", "file", 0, rightsAll &^ rightWrite, 0, "content"},
		{"below a directory", "sub/inner", 0, rightRead, 0, "inner"},
		{"through a link", "link", 0, rightRead, fdNonblock, "content"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, fd := p.open(fdReadOnly, c.path, c.oflags, c.rights, c.fdflags)
			if e != 0 {
				t.Fatalf("errno %d", e)
			}
			if got := read(fd); got != c.content {
				t.Errorf("read %q, want %q", got, c.content)
			}
			p.want(0, "fd_close", fd)
		})
	}
	for _, rights := range []int{0, rightRead, rightsAll} {
		t.Run(fmt.Sprintf("a directory, with rights %x", rights), func(t *testing.T) {
			e, fd := p.open(fdReadOnly, "sub", oDirectory, rights, 0)
			if e != 0 {
				t.Fatalf("errno %d", e)
			}
			p.want(0, "fd_readdir", fd, 0x4000, 0x1000, 0, puppetFree)
			if list := string(p.memory()[0x4000:][:p.word(puppetFree)]); !strings.Contains(list, "inner") {
				t.Errorf("entries %q", list)
			}
			p.want(0, "fd_close", fd)
		})
	}
}

func TestPathsLeadNowhereElse(t *testing.T) {
	p, _, _ := filePuppet(t)
	for _, path := range []string{"../x", "/etc/passwd", "out/passwd", "up", "sub/../../x", "sub/../out"} {
		for _, dir := range []int{fdReadOnly, fdWritable} {
			if e, _ := p.open(dir, path, 0, rightRead, 0); e != errPerm && e != errNotcap {
				t.Errorf("%q: errno %d, want EPERM or ENOTCAPABLE", path, e)
			}
		}
	}
}

func TestOnlyFilesAndDirectoriesCanBeOpened(t *testing.T) {
	p, _, writable := filePuppet(t)
	socket := filepath.Join(writable, "s")
	if fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0); err != nil || syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}) != nil {
		t.Log("no socket to try")
	} else {
		defer syscall.Close(fd)
		if e, _ := p.open(fdWritable, "s", 0, rightRead, 0); e == 0 {
			t.Error("a socket was opened")
		}
	}
	for _, dir := range []int{fdReadOnly, fdWritable} {
		for _, path := range []string{"fifo", "fifolink", "sub/../fifo"} {
			for _, oflags := range []int{0, oDirectory} {
				if e, _ := p.open(dir, path, oflags, rightRead, fdNonblock); e != errAcces {
					t.Errorf("%q with flags %d: errno %d, want EACCES", path, oflags, e)
				}
			}
		}
	}
	if e, _ := p.open(fdWritable, "fifo", oCreat, rightWrite, 0); e != errAcces {
		t.Errorf("a FIFO for writing: errno %d, want EACCES", e)
	}
	if e, _ := p.open(fdWritable, "nothing", 0, rightRead, 0); e != errNoent {
		t.Errorf("no such file: errno %d, want ENOENT", e)
	}
	if e, _ := p.open(fdWritable, "file/x", oCreat, rightRead, 0); e != errNotdir {
		t.Errorf("below a file: errno %d, want ENOTDIR", e)
	}
	if e, _ := p.open(fdWritable, "file", oCreat|oExcl, rightRead|rightWrite, 0); e != errExist {
		t.Errorf("exclusively: errno %d, want EEXIST", e)
	}
	if e, _ := p.open(fdWritable, "sub", 0, rightRead|rightWrite, 0); e != errIsdir {
		t.Errorf("a directory for writing: errno %d, want EISDIR", e)
	}
	at, n := p.put(0x1000, "link")
	p.want(errLoop, "path_open", fdWritable, 0, at, n, 0, rightRead, 0, 0, puppetFree)
	if e, fd := p.open(fdWritable, "sub/new", oCreat, rightRead|rightWrite, 0); e != 0 {
		t.Errorf("a new file: errno %d", e)
	} else if e, n := p.say(fd, "hello"); e != 0 || n != 5 {
		t.Errorf("writing: errno %d, %d bytes", e, n)
	}
	if got, _ := os.ReadFile(filepath.Join(writable, "sub", "new")); string(got) != "hello" {
		t.Errorf("the file has %q", got)
	}
}

// TestLookingAtAPathLeavesMemoryAlone: path_open borrows 64 bytes of the guest's.
func TestLookingAtAPathLeavesMemoryAlone(t *testing.T) {
	p, _, _ := filePuppet(t)
	for _, c := range []struct {
		name  string
		at, n int
		errno int32
	}{
		{"a path at the start of memory", 0, 4, 0},
		{"a path where borrowed bytes would lie", 60, 4, 0},
		{"a path behind them", 64, 4, 0},
		{"a path at the end of memory", puppetEnd - 4, 4, 0},
		{"a path over all of memory", 0, puppetEnd, 37},
		// It is looked at, and is not UTF-8 where the task lies in it.
		{"the longest path that is looked at", 63, 4096, 25},
		{"a longer one", 63, 4097, 37},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range p.memory() {
				p.memory()[i] = byte(i * 31)
			}
			path := "file"
			if c.n > 4 {
				path = strings.Repeat("./", (c.n-4)/2) + "/file"[1-c.n%2:]
			}
			p.put(c.at, path)
			before := string(p.memory())
			errno := p.call("path_open", fdWritable, lookupFollow, c.at, c.n, 0, rightRead, 0, 0, 0x8000)
			if errno != c.errno {
				t.Errorf("errno %d, want %d", errno, c.errno)
			}
			// The task and the descriptor are where they belong.
			after := []byte(string(p.memory()))
			copy(after[puppetTask:], before[puppetTask:puppetTask+256])
			if errno == 0 {
				copy(after[0x8000:], before[0x8000:0x8004])
			}
			if string(after) != before {
				t.Error("memory has changed")
			}
		})
	}
}

func TestDescriptorsAreBounded(t *testing.T) {
	p, _, _ := filePuppet(t)
	opened := 0
	for ; opened < 1000; opened++ {
		if e, _ := p.open(fdReadOnly, "file", 0, rightRead, 0); e == errMfile {
			break
		} else if e != 0 {
			t.Fatalf("errno %d after %d", e, opened)
		}
	}
	if want := DefaultMaxOpenFiles; opened != want {
		t.Errorf("%d files could be open, want %d", opened, want)
	}
	// The numbers are not used again, so they grow beyond the bound.
	for i := range 3000 {
		p.want(0, "fd_close", 5+i)
		if e, fd := p.open(fdReadOnly, "file", 0, rightRead, 0); e != 0 || fd != 5+opened+i {
			t.Fatalf("errno %d, descriptor %d", e, fd)
		}
	}
	if e, _ := p.open(fdReadOnly, "file", 0, rightRead, 0); e != errMfile {
		t.Errorf("errno %d, want EMFILE", e)
	}
	// A renumbering closes what had the number.
	p.want(0, "fd_renumber", 5+opened+2999, 5+opened+2998)
	if e, _ := p.open(fdReadOnly, "file", 0, rightRead, 0); e != 0 {
		t.Errorf("errno %d after a renumbering", e)
	}
}

func TestDescriptorsThatAreNotOpen(t *testing.T) {
	p, _, _ := filePuppet(t)
	const at = 0x1000
	for _, fd := range []any{5, 6, 255, 256, 1 << 30, 1 << 31, uint32(0xffffffff), uint32(0xfffffffe)} {
		p.want(errBadf, "fd_write", fd, at, 0, puppetFree)
		p.want(errBadf, "fd_read", fd, at, 0, puppetFree)
		p.want(errBadf, "fd_close", fd)
		p.want(errBadf, "fd_seek", fd, 0, 0, puppetFree)
		p.want(errBadf, "fd_fdstat_get", fd, at)
		p.want(errBadf, "fd_filestat_get", fd, at)
		p.want(errBadf, "fd_renumber", fd, 3)
		p.want(errBadf, "fd_prestat_get", fd, at)
		p.want(errBadf, "path_open", fd, 0, at, 1, 0, 0, 0, 0, puppetFree)
		p.want(errBadf, "sock_recv", fd, at, 0, 0, puppetFree, puppetFree+8)
		p.want(errBadf, "sock_send", fd, at, 0, 0, puppetFree)
		p.want(errBadf, "sock_accept", fd, 0, puppetFree)
		p.want(errBadf, "sock_shutdown", fd, 1)
	}
	// A file can take any free number, the highest too.
	_, fd := p.open(fdReadOnly, "file", 0, rightRead, 0)
	p.want(0, "fd_renumber", fd, uint32(0xffffffff))
	p.want(errRofs, "fd_write", uint32(0xffffffff), at, 0, puppetFree)
	p.want(0, "fd_renumber", uint32(0xffffffff), uint32(0xffffffff))
	p.want(0, "fd_close", uint32(0xffffffff))
	p.want(errBadf, "fd_write", uint32(0xffffffff), at, 0, puppetFree)
}

func TestGrants(t *testing.T) {
	p := newPuppet(t, &Config{
		Args: []string{"guest", "--flag", ""},
		Env:  []string{"A=1", "EMPTY=", "EQ==="},
		Dirs: []Dir{{Host: t.TempDir(), Guest: "/data"}},
	})
	strs := func(sizes, get string) []string {
		p.want(0, sizes, 0x1000, 0x1004)
		n := int(p.word(0x1000))
		p.want(0, get, 0x1100, 0x2000)
		list := make([]string, n)
		for i := range list {
			at := p.word(0x1100 + 4*i)
			list[i], _, _ = strings.Cut(string(p.memory()[at:at+100]), "\x00")
		}
		return list
	}
	if got := fmt.Sprintf("%q", strs("args_sizes_get", "args_get")); got != `["guest" "--flag" ""]` {
		t.Errorf("arguments %s", got)
	}
	if got := fmt.Sprintf("%q", strs("environ_sizes_get", "environ_get")); got != `["A=1" "EMPTY=" "EQ==="]` {
		t.Errorf("environment %s", got)
	}
	p.want(0, "fd_prestat_get", 3, 0x1000)
	p.want(0, "fd_prestat_dir_name", 3, 0x2000, int(p.word(0x1004)))
	if got := string(p.memory()[0x2000:][:p.word(0x1004)]); got != "/data" {
		t.Errorf("directory %q", got)
	}

	p = newPuppet(t, nil)
	if a, e := strs("args_sizes_get", "args_get"), strs("environ_sizes_get", "environ_get"); len(a)+len(e) != 0 {
		t.Errorf("nothing was granted, and the guest sees %q, %q", a, e)
	}
	p.want(errBadf, "fd_prestat_get", 3, 0x1000)
}
