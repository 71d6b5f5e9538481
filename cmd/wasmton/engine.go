package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/wasmton/wasmton/wasihost"
)

// engineOptions are the flags that concern the engine rather than a guest.
type engineOptions struct {
	cacheDir   cacheDirValue
	stackLimit byteSize // 0 is the engine's default
}

func (o *engineOptions) addEngineFlags(fs *pflag.FlagSet) {
	o.addCacheFlag(fs)
	fs.Var(&o.stackLimit, "stack-limit", "stack that the module's calls may use, from 64KiB to 4MiB and at most half of ulimit -s (default 1MiB, or that half)")
	fs.Lookup("stack-limit").DefValue = "0"
}

func (o *engineOptions) addCacheFlag(fs *pflag.FlagSet) {
	fs.Var(&o.cacheDir, "cache-dir", "`directory` that keeps compiled modules for the next start; off for none (default: wasmton in the user's cache directory)")
}

// cacheDirValue is --cache-dir. Not to give it is something else than to give it
// empty, which means none.
type cacheDirValue struct {
	dir   string // "" is none, where it was given
	given bool
}

func (v *cacheDirValue) Set(s string) error {
	if v.dir, v.given = s, true; s == "off" {
		v.dir = ""
	}
	return nil
}

func (v *cacheDirValue) String() string { return v.dir }
func (*cacheDirValue) Type() string     { return "directory" }

// path returns the directory, "" for none.
func (v *cacheDirValue) path() (string, error) {
	if v.given {
		return v.dir, nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(base, "wasmton"), nil
}

// newEngine makes the engine, with a cache where one can be had. Without one, modules
// take longer to start, which is worth a warning and no failure. The log must have
// been started. Errors lead to exit code 2.
func (a *app) newEngine(o *engineOptions) (*wasihost.Engine, error) {
	engine, err := wasihost.NewEngineWith(wasihost.EngineConfig{
		StackLimit: int64(o.stackLimit),
		Cache:      a.openCache(&o.cacheDir),
	})
	if err != nil {
		return nil, refused(err)
	}
	return engine, nil
}

// openCache returns nil where there is none.
func (a *app) openCache(where *cacheDirValue) *wasihost.Cache {
	dir, err := where.path()
	if err == nil && dir == "" {
		return nil
	}
	warn := func(err error) {
		a.log.Warn(err.Error() + "; --cache-dir names another directory, or off")
	}
	if err != nil {
		warn(errors.Join(errors.New("cache: this user has no cache directory"), err))
		return nil
	}
	cache, err := wasihost.OpenCache(wasihost.CacheConfig{Dir: dir, Warn: warn})
	if err != nil {
		warn(err)
	}
	return cache
}
