package wasihost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	wt "github.com/bytecodealliance/wasmtime-go/v14"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// Defaults of Config.
const (
	DefaultMemoryLimit = 256 << 20
	DefaultTaskTimeout = 30 * time.Second
	// DefaultTableLimit is 8 MiB a table.
	DefaultTableLimit   = 1 << 20
	DefaultMaxOpenFiles = 128
	DefaultLogLimit     = 1 << 20
)

// Config says what a guest may reach and how much it may use. The zero value
// grants nothing: no arguments, no environment, no directories; standard input
// is empty.
type Config struct {
	// Args are the guest's program arguments. The first is the program's name.
	Args []string
	// Env is the guest's whole environment, each element NAME=value.
	Env []string
	// Dirs are the directories that the guest sees.
	Dirs []Dir
	// MemoryLimit bounds the guest's linear memory in bytes. 0 means
	// DefaultMemoryLimit; at least 64 KiB, at most 4 GiB. A refused growth is told to the guest
	// as -1 from memory.grow.
	MemoryLimit int64
	// MemoryMark is the number of bytes of linear memory above which Drive stops
	// after the task that runs, with ErrOutgrown: a guest's memory never shrinks, and
	// whoever minds that makes another instance. 0 means none, and so does a mark that
	// the guest is past as soon as it is initialised.
	MemoryMark int64
	// TaskTimeout bounds the run of one task, and _initialize. 0 means
	// DefaultTaskTimeout; at most 24 h. It is enforced in steps of 10 ms, up to two
	// steps late and never early.
	TaskTimeout time.Duration
	// TableLimit bounds the elements of each of the guest's tables, which take 8 bytes
	// each. 0 means DefaultTableLimit; at most 16,777,216. A refused growth is told to
	// the guest as -1 from table.grow.
	TableLimit int64
	// MaxOpenFiles bounds the files and directories that the guest has open at once,
	// beside its streams and Dirs. 0 means DefaultMaxOpenFiles; at most 256. One more
	// is refused with EMFILE.
	MaxOpenFiles int
	// LogLimit bounds the bytes of output of one task, or of instantiation, that reach
	// Output. 0 means DefaultLogLimit. What is beyond is counted, and a last line on
	// standard error says how much it was; to the guest, its writes succeed: a task
	// that says too much is no failure, and must not fill a disk either.
	LogLimit int64
	// Output gets what the guest writes to standard output and error, a line at a
	// time without its line end, on the goroutine that drives the instance. task
	// is the index of the task in the batch of the current Drive, or -1 during
	// instantiation. line is valid during the call only. A panic in it
	// fails the task. nil discards. Commands write to their Streams instead.
	Output func(task int, stream Stream, line []byte)
	// Trace is told of each host call once it has returned, or has ended the guest,
	// on the goroutine that drives the instance. The call is valid meanwhile only.
	// nil costs nothing; else each call costs some microseconds.
	Trace func(call *HostCall)
}

// Dir grants a directory and what is below it. Symbolic links lead nowhere else, and
// nothing but files and directories can be opened: not what could block, such as a
// FIFO (unless it takes a file's place just as the guest opens it). Reading and
// writing files cannot be interrupted: on a network mount that hangs, so does the
// guest, past all limits.
type Dir struct {
	Host     string // path on the host; must be a directory
	Guest    string // absolute path under which the guest sees it
	ReadOnly bool   // every way to change something below it fails with EROFS
}

// Stream is one of the guest's standard streams.
type Stream uint8

// The streams that a guest writes to; the values are their descriptors.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// String returns "stdout" or "stderr".
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// Bounds of Config.
const (
	minMemory      = shim.PageSize
	maxMemory      = 4 << 30
	maxTaskTimeout = 24 * time.Hour
	maxDirs        = 64
	maxTable       = 1 << 24
	maxOpenFiles   = shim.FDMax - 3 - maxDirs
)

// Check says whether the grants can be given: directories exist, limits are in
// range. The error names each grant that cannot. It needs no module.
func (c *Config) Check() error {
	return errors.Join(c.checkValues(), c.checkDirs())
}

// withDefaults returns a copy with what is not set filled in.
func (c *Config) withDefaults() Config {
	d := *c
	if d.MemoryLimit == 0 {
		d.MemoryLimit = DefaultMemoryLimit
	}
	if d.TaskTimeout == 0 {
		d.TaskTimeout = DefaultTaskTimeout
	}
	if d.TableLimit == 0 {
		d.TableLimit = DefaultTableLimit
	}
	if d.MaxOpenFiles == 0 {
		d.MaxOpenFiles = DefaultMaxOpenFiles
	}
	if d.LogLimit == 0 {
		d.LogLimit = DefaultLogLimit
	}
	return d
}

// checkValues checks what can be checked without looking at files.
func (c *Config) checkValues() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if m := c.MemoryLimit; m != 0 && (m < minMemory || m > maxMemory) {
		add("memory limit of %d bytes: it must be between 64 KiB and 4 GiB", m)
	}
	if c.MemoryMark < 0 {
		add("memory mark of %d bytes: it must be 0 or more", c.MemoryMark)
	}
	if t := c.TaskTimeout; t < 0 || t > maxTaskTimeout {
		add("task timeout of %v: it must be more than 0 and at most 24h", t)
	}
	if n := c.TableLimit; n < 0 || n > maxTable {
		add("table limit of %d elements: it must be between 1 and %d", n, maxTable)
	}
	if n := c.MaxOpenFiles; n < 0 || n > maxOpenFiles {
		add("%d open files: there must be between 1 and %d", n, maxOpenFiles)
	}
	if n := c.LogLimit; n < 0 {
		add("log limit of %d bytes: it must be more than 0", n)
	}
	for i, a := range c.Args {
		if why := unfit(a); why != "" {
			add("argument %d, %q: %s", i, a, why)
		}
	}
	for _, e := range c.Env {
		name, _, ok := strings.Cut(e, "=")
		if why := unfit(e); why != "" {
			add("environment variable %q: %s", name, why)
		} else if !ok || name == "" {
			add("environment variable %q: it must be NAME=value", e)
		}
	}
	if n := len(c.Dirs); n > maxDirs {
		add("%d directories are granted, and the most is %d", n, maxDirs)
	}
	seen := map[string]bool{}
	for _, d := range c.Dirs {
		guest := path.Clean(d.Guest)
		switch why := unfit(d.Guest + d.Host); {
		case why != "":
			add("directory %q as %q: %s", d.Host, d.Guest, why)
		case !path.IsAbs(d.Guest):
			add("directory %q as %q: the guest's path must begin with /", d.Host, d.Guest)
		case d.Host == "":
			add("directory \"\" as %q: the host's path is empty", d.Guest)
		case seen[guest]:
			add("directory %q as %q: that path is granted twice", d.Host, d.Guest)
		}
		seen[guest] = true
	}
	return errors.Join(errs...)
}

// unfit says why a string cannot be handed to a guest, "" where it can.
func unfit(s string) string {
	switch {
	case strings.ContainsRune(s, 0):
		return "it contains a NUL byte"
	case !utf8.ValidString(s):
		return "it is not valid UTF-8"
	}
	return ""
}

// checkDirs checks that the granted directories are there, and that what is
// read-only is not writable by another grant.
func (c *Config) checkDirs() error {
	var errs []error
	real := make([]string, len(c.Dirs))
	for i, d := range c.Dirs {
		if err := d.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		real[i] = resolved(d.Host)
	}
	for i, d := range c.Dirs {
		for j, other := range c.Dirs {
			if d.ReadOnly && !other.ReadOnly && real[i] != "" && real[j] != "" && within(real[i], real[j]) {
				errs = append(errs, fmt.Errorf("directory %q is granted read-only, but lies in %q, which is not: the guest could change it there", d.Host, other.Host))
			}
		}
	}
	return errors.Join(errs...)
}

func (d Dir) check() error {
	info, err := os.Stat(d.Host) // before opening: a FIFO would block
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err == nil {
		var f *os.File
		if f, err = os.Open(d.Host); err == nil {
			err = f.Close()
		}
	}
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return fmt.Errorf("directory %q: %w", d.Host, err)
}

// resolved is a path without symbolic links, "" where it cannot be found.
func resolved(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		if real, err := filepath.EvalSymlinks(abs); err == nil {
			return real
		}
	}
	return ""
}

// within reports whether a path is dir or lies below it.
func within(p, dir string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// wasi is the grants in the library's form, for one instance. The values have been
// checked: the library drops the whole without a word where one does not fit.
func (c *Config) wasi() (*wt.WasiConfig, error) {
	w := wt.NewWasiConfig()
	if len(c.Args) > 0 {
		w.SetArgv(c.Args)
	}
	if len(c.Env) > 0 {
		names, values := make([]string, len(c.Env)), make([]string, len(c.Env))
		for i, e := range c.Env {
			names[i], values[i], _ = strings.Cut(e, "=")
		}
		w.SetEnv(names, values)
	}
	for _, d := range c.Dirs {
		if err := w.PreopenDir(d.Host, d.Guest); err != nil {
			if why := d.check(); why != nil {
				err = why
			} else {
				err = fmt.Errorf("directory %q: %w", d.Host, err)
			}
			return nil, err
		}
	}
	return w, nil
}
