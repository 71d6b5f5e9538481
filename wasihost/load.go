package wasihost

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

// Origin says where a Module's code came from.
type Origin string

// The origins.
const (
	Compiled     Origin = "compiled" // just now
	FromCache    Origin = "cache"    // of EngineConfig.Cache
	FromArtifact Origin = "artifact" // a file that Save wrote
)

// IsArtifact reports whether the file at path is compiled code, for LoadFile, rather
// than a module for Compile. It looks at the first bytes only, and is false for what
// cannot be read, and for pipes, of which nothing may be taken.
func IsArtifact(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // only read
	head := make([]byte, elfOSABI+1)
	_, err = io.ReadFull(f, head)
	return err == nil && isArtifact(head)
}

// LoadFile loads compiled code that Save wrote. The code is native: whoever made the
// file can do all that this process can, so load only what comes from a trusted
// place. What is not fit to run here is refused with an *ArtifactError; the check
// finds damage, it does not tell who made the file.
//
// The file is mapped: replace it by renaming another onto it, never by writing into
// it, while a process uses it.
func (e *Engine) LoadFile(path string) (*Module, error) {
	begun := time.Now()
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return e.load(path, f, FromArtifact, begun)
}

// load makes a module of an artifact.
func (e *Engine) load(name string, f *os.File, from Origin, begun time.Time) (*Module, error) {
	about, err := readArtifact(name, f)
	if err != nil {
		return nil, err
	}
	code, err := e.loadCode(name, f, about)
	if err != nil {
		return nil, err
	}
	return e.newModule(name, code, about, nil, from, begun), nil
}

// loadCode loads the code of an artifact that readArtifact has found whole.
func (e *Engine) loadCode(name string, f *os.File, about *artifactAbout) (*wt.Module, error) {
	if why := about.unfit(); why != "" {
		return nil, &ArtifactError{Name: name, Reason: why}
	}
	code, err := e.mapped(f)
	if err != nil {
		// The file may lie where nothing mapped can be executed (noexec).
		code, err = e.copied(f)
	}
	var path *fs.PathError
	if err != nil && !errors.As(err, &path) {
		err = &ArtifactError{Name: name, Reason: "the engine does not take it: " + firstLines(err.Error(), 6)}
	}
	return code, err
}

// mapped maps the code. The library takes a path, and the file there may have become
// another one since it was checked: so it is named by its descriptor, or looked at
// again where that has no name.
func (e *Engine) mapped(f *os.File) (*wt.Module, error) {
	if own := fmt.Sprintf("/proc/self/fd/%d", f.Fd()); sameFile(f, own) {
		return wt.NewModuleDeserializeFile(e.engine, own)
	}
	code, err := wt.NewModuleDeserializeFile(e.engine, f.Name())
	if err == nil && !sameFile(f, f.Name()) {
		return nil, errors.New("the file was replaced while it was read")
	}
	return code, err
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

func (e *Engine) copied(f *os.File) (*wt.Module, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	code := make([]byte, info.Size())
	if _, err := f.ReadAt(code, 0); err != nil {
		return nil, err
	}
	return wt.NewModuleDeserialize(e.engine, code)
}

// Save writes the module's compiled code to a file for LoadFile, and returns the
// file's size. The file appears whole or not at all, and one that is there already is
// replaced, not written into: processes that have it mapped go on with the old one.
func (m *Module) Save(path string) (size int64, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s: it is there and is not a regular file", path)
	}
	return m.about.save(path, m.module, 0o666, true)
}

// save writes an artifact aside and renames it. durable is whether it must outlive a
// crash of the machine once save has returned.
func (a *artifactAbout) save(path string, module *wt.Module, mode fs.FileMode, durable bool) (size int64, err error) {
	code, err := module.Serialize()
	if err != nil {
		return 0, fmt.Errorf("%s: %s", path, firstLines(err.Error(), 3))
	}
	f, err := createAside(path, mode)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()           // the first error tells more
			_ = os.Remove(f.Name()) // so does it here
		}
	}()
	if err := writeArtifact(f, code, a); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if durable {
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return 0, err
	}
	if durable {
		return info.Size(), syncDir(filepath.Dir(path))
	}
	return info.Size(), nil
}

// asidePattern names files that are being written, with a random part in place of
// the star.
const asidePattern = ".wasmton-*.tmp"

// createAside makes a file that nobody else has, beside path. Its mode is subject to
// the umask, as that of a file made under its final name would be.
func createAside(path string, mode fs.FileMode) (*os.File, error) {
	for {
		name := strings.Replace(asidePattern, "*", rand.Text(), 1)
		f, err := os.OpenFile(filepath.Join(filepath.Dir(path), name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// syncDir makes a rename in a directory outlive a crash, on file systems that do so.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil // it can be written to, and not read: the rename has happened
	}
	defer func() { _ = d.Close() }() // only read
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
