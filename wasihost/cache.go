package wasihost

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

// DefaultCacheSize is the default of CacheConfig.MaxBytes.
const DefaultCacheSize = 1 << 30

// CacheConfig configures a Cache.
type CacheConfig struct {
	// Dir is the directory, which is made where it is missing, and its parents too.
	// What lies in it is run as native code: it must belong to this user or root, and
	// nobody else may write to it.
	Dir string
	// MaxBytes bounds what the cache keeps. When an entry is added beyond it, those
	// go that were not used for the longest time. Default DefaultCacheSize.
	MaxBytes int64
	// Warn gets what goes wrong when the cache is used. Work goes on without it, so
	// nothing is to be done but to tell. nil discards.
	Warn func(error)
}

// Cache keeps compiled code in a directory. It is safe for concurrent use, by several
// processes too.
//
// It has no lock. Entries appear whole, by renaming, so the worst that comes of two
// processes starting at once is that both compile and the later one replaces what is
// the same. A lock would make one wait for the other, which may be stopped or on
// another machine.
type Cache struct {
	cfg CacheConfig
	// broken is set when an entry could not be written: one warning is enough.
	broken atomic.Bool
}

// OpenCache opens the cache. The error says why its directory is not fit; compiling
// works without a cache.
func OpenCache(cfg CacheConfig) (*Cache, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultCacheSize
	}
	if cfg.Warn == nil {
		cfg.Warn = func(error) {}
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	info, err := os.Stat(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	if why := untrusted(info); why != "" {
		return nil, fmt.Errorf("cache: directory %s %s, and what lies in a cache is run", cfg.Dir, why)
	}
	return &Cache{cfg: cfg}, nil
}

// untrusted says why somebody else could have made a file, or can change it, "" where
// only this user and root can.
func untrusted(info fs.FileInfo) string {
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return fmt.Sprintf("belongs to user %d", owner.Uid)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Sprintf("can be written by others (mode %04o)", info.Mode().Perm())
	}
	return ""
}

// entrySuffix ends the names of entries, which are artifacts.
const entrySuffix = ".cwasm"

// entry is the path for the code of a module: all that the code depends on is in its
// name. The level counts beside the features, for a compiler that finds out by itself
// what the CPU has may use more than we know of.
func (c *Cache) entry(about *artifactAbout) string {
	key := fmt.Sprintf("%d %s %q %s %s %s %q %x", artifactVersion, about.Library, about.Settings,
		about.OS, about.Arch, about.CPU, about.Features, about.Digest)
	return filepath.Join(c.cfg.Dir, fmt.Sprintf("%x", sha256.Sum256([]byte(key)))+entrySuffix)
}

// load returns the code of a module, nil where the cache does not have it, and notes
// how long it took to compile. An entry that is not as it must be is told of and
// counts as missing; it is replaced when the module has been compiled.
func (c *Cache) load(e *Engine, about *artifactAbout) *wt.Module {
	if c == nil {
		return nil
	}
	path := c.entry(about)
	code, err := c.loadEntry(e, path, about)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.cfg.Warn(fmt.Errorf("cache: an entry is not used, and made anew: %w", err))
		}
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // in a cache that is only read, nothing is removed either
	return code
}

func (c *Cache) loadEntry(e *Engine, path string, about *artifactAbout) (*wt.Module, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if why := untrusted(info); why != "" {
		return nil, fmt.Errorf("%s: it %s", path, why)
	}
	found, err := readArtifact(path, f)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(found.Digest, about.Digest) {
		return nil, &ArtifactError{Name: path, Reason: "it is of another module"}
	}
	code, err := e.loadCode(path, f, found)
	if err == nil {
		about.Compile = found.Compile
	}
	return code, err
}

// store adds the code of a module, and removes what the cache then has too much.
func (c *Cache) store(code *wt.Module, about *artifactAbout) {
	if c == nil || c.broken.Load() {
		return
	}
	_, err := about.save(c.entry(about), code, 0o600, false)
	if err != nil {
		err = fmt.Errorf("cache: compiled code cannot be kept, so the next start compiles again: %w", err)
	} else if err = c.trim(time.Now()); err != nil {
		err = fmt.Errorf("cache: what was not used for long cannot be removed: %w", err)
	}
	if err != nil && c.broken.CompareAndSwap(false, true) {
		c.cfg.Warn(err)
	}
}

// abandoned is the age from which on a file that was being written is one whose
// process did not live to rename it.
const abandoned = time.Hour

// trim removes the entries that were not used for the longest time until the others
// are no more than the cache may keep, and what processes left behind. Whoever has an
// entry mapped keeps it.
func (c *Cache) trim(now time.Time) error {
	list, err := os.ReadDir(c.cfg.Dir)
	if err != nil {
		return err
	}
	var entries []fs.FileInfo
	var total int64
	for _, d := range list {
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // removed by another process, or no business of ours
		}
		if match, _ := filepath.Match(asidePattern, d.Name()); match && now.Sub(info.ModTime()) > abandoned {
			if err := c.remove(d.Name()); err != nil {
				return err
			}
		}
		if strings.HasSuffix(d.Name(), entrySuffix) {
			entries = append(entries, info)
			total += info.Size()
		}
	}
	slices.SortFunc(entries, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	for _, info := range entries {
		if total <= c.cfg.MaxBytes {
			break
		}
		if err := c.remove(info.Name()); err != nil {
			return err
		}
		total -= info.Size()
	}
	return nil
}

// remove removes a file, which another process may have done.
func (c *Cache) remove(name string) error {
	err := os.Remove(filepath.Join(c.cfg.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
