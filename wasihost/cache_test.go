package wasihost

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// warnings collects what a cache has to say.
type warnings struct {
	sync.Mutex
	list []string
}

func (w *warnings) add(err error) {
	w.Lock()
	defer w.Unlock()
	w.list = append(w.list, err.Error())
}

// cached makes an engine with a cache in dir.
func cached(t testing.TB, dir string, size int64) (*Engine, *warnings) {
	t.Helper()
	w := &warnings{}
	cache, err := OpenCache(CacheConfig{Dir: dir, MaxBytes: size, Warn: w.add})
	if err != nil {
		t.Fatal(err)
	}
	return engineWith(t, EngineConfig{Cache: cache}), w
}

func entries(t testing.TB, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"+entrySuffix))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// fromCache compiles a module, and checks where its code comes from.
func fromCache(t testing.TB, e *Engine, text string, want Origin) *Module {
	t.Helper()
	m := compile(t, e, text)
	if m.Origin() != want {
		t.Errorf("the code is %s, want %s", m.Origin(), want)
	}
	return m
}

func TestCompiledCodeIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	first, w := cached(t, dir, 0)
	m := fromCache(t, first, artifactText, Compiled)
	if n, err := drive(start(t, m, nil), "\x7f"); n != 1 || err != nil {
		t.Fatalf("Drive = %d, %v", n, err)
	}
	if n := len(entries(t, dir)); n != 3 {
		t.Errorf("%d entries, want the module and the two halves of its shim", n)
	}
	for _, path := range append(entries(t, dir), dir) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: others may use it: %v, %v", path, info.Mode(), err)
		}
	}

	var before []fs.FileInfo
	for _, path := range entries(t, dir) {
		if err := os.Chtimes(path, time.Unix(0, 0), time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, info)
	}
	second, w2 := cached(t, dir, 0)
	again := fromCache(t, second, artifactText, FromCache)
	if again.Digest() != m.Digest() || again.Size() != m.Size() || again.CompileTime() != m.CompileTime() || again.Name() != m.Name() {
		t.Errorf("%+v, want what it was: %+v", again.about, m.about)
	}
	var r recorder
	if n, err := drive(start(t, again, &Config{Output: r.output}), "\x7f"); n != 1 || err != nil || len(r.lines) != 1 {
		t.Errorf("Drive = %d, %v, output %q", n, err, r.lines)
	}
	for i, path := range entries(t, dir) {
		if info, err := os.Stat(path); err != nil || info.ModTime().Unix() == 0 || !os.SameFile(info, before[i]) {
			t.Errorf("%s was not used, or was made anew: %v", path, err)
		}
	}
	if len(w.list)+len(w2.list) > 0 {
		t.Errorf("warnings %q %q", w.list, w2.list)
	}
}

// TestWhatTheCodeDependsOnIsInTheKey changes one thing after another.
func TestWhatTheCodeDependsOnIsInTheKey(t *testing.T) {
	c := &Cache{}
	base := artifactAbout{Library: "1", Settings: "s", OS: "o", Arch: "a", CPU: "c", Features: []string{"f", "g"}, Digest: []byte{1}}
	seen := map[string]string{c.entry(&base): "nothing"}
	for what, change := range map[string]func(*artifactAbout){
		"version":      func(a *artifactAbout) { a.Library = "2" },
		"settings":     func(a *artifactAbout) { a.Settings = "t" },
		"system":       func(a *artifactAbout) { a.OS = "p" },
		"architecture": func(a *artifactAbout) { a.Arch = "b" },
		"level":        func(a *artifactAbout) { a.CPU = "d" },
		"features":     func(a *artifactAbout) { a.Features = []string{"f"} },
		"digest":       func(a *artifactAbout) { a.Digest = []byte{2} },
	} {
		about := base
		change(&about)
		if other, again := seen[c.entry(&about)]; again {
			t.Errorf("with another %s the entry is that for another %s", what, other)
		}
		seen[c.entry(&about)] = what
	}
	renamed := base
	renamed.Module = "elsewhere.wasm"
	if c.entry(&renamed) != c.entry(&base) {
		t.Error("a module that was renamed is compiled again")
	}
}

func TestADamagedEntryIsMadeAnew(t *testing.T) {
	other := strings.Replace(artifactText, "hello", "other", 1)
	_, ofOther := saved(t, testEngine, other)
	for name, damage := range map[string]func(path string) error{
		"a flipped bit": func(path string) error {
			b, err := os.ReadFile(path)
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(path, b, 0o600)
			}
			return err
		},
		"cut off": func(path string) error { return os.Truncate(path, 1000) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"of another module": func(path string) error {
			b, err := os.ReadFile(ofOther)
			if err == nil {
				err = os.WriteFile(path, b, 0o600)
			}
			return err
		},
		"writable by others": func(path string) error { return os.Chmod(path, 0o622) },
		"a symbolic link": func(path string) error {
			if err := os.Rename(path, path+".real"); err != nil {
				return err
			}
			return os.Symlink(path+".real", path)
		},
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		e, _ := cached(t, dir, 0)
		compile(t, e, artifactText)
		path := entries(t, dir)[0]
		if err := damage(path); err != nil {
			t.Fatal(err)
		}
		e, w := cached(t, dir, 0)
		m := fromCache(t, e, artifactText, Compiled)
		var r recorder
		if _, err := drive(start(t, m, &Config{Output: r.output}), "\x7f"); err != nil || fmt.Sprint(r.lines) != `[0 stdout "hello"]` {
			t.Errorf("%s: %v, output %q", name, err, r.lines)
		}
		if len(w.list) != 1 || !strings.Contains(w.list[0], "made anew: ") || !strings.Contains(w.list[0], path) {
			t.Errorf("%s: warnings %q", name, w.list)
		}
		e, w = cached(t, dir, 0)
		fromCache(t, e, artifactText, FromCache)
		if len(w.list) > 0 {
			t.Errorf("%s: it was not replaced: %q", name, w.list)
		}
	}
}

// TestACacheOfOthersIsRefused: what another user could have put there would run.
func TestACacheOfOthersIsRefused(t *testing.T) {
	dir := t.TempDir()
	for mode, want := range map[fs.FileMode]string{0o777: "can be written by others", 0o720: "can be written by others", 0o702: "can be written by others", 0o755: "", 0o700: "", 0o500: ""} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		_, err := OpenCache(CacheConfig{Dir: dir})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("mode %04o: %v, want %q", mode, err, want)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCache(CacheConfig{Dir: file}); err == nil {
		t.Error("a file is taken for a cache")
	}
}

// TestACacheThatCannotBeWrittenIsWarnedOfOnce has its directory removed.
func TestACacheThatCannotBeWrittenIsWarnedOfOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	e, w := cached(t, dir, 0)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	m := fromCache(t, e, artifactText, Compiled)
	if n, err := drive(start(t, m, nil), "\x7f"); n != 1 || err != nil {
		t.Fatalf("Drive = %d, %v", n, err)
	}
	if len(w.list) != 1 || !strings.Contains(w.list[0], "compiles again: ") {
		t.Errorf("warnings %q", w.list)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	compile(t, e, strings.Replace(artifactText, "hello", "again", 1))
	if got := entries(t, dir); len(got) > 0 {
		t.Errorf("it is tried again: %v", got)
	}
}

func TestTheLeastRecentlyUsedEntriesGo(t *testing.T) {
	dir := t.TempDir()
	text := func(i int) string { return strings.Replace(artifactText, "hello", fmt.Sprintf("hell%d", i), 1) }
	e, w := cached(t, dir, 0)
	path := make([]string, 4)
	now := time.Now()
	var size int64
	for i := range 3 {
		m := compile(t, e, text(i))
		path[i] = e.cfg.Cache.entry(&m.about)
		info, err := os.Stat(path[i])
		if err != nil {
			t.Fatal(err)
		}
		size = info.Size()
		if err := os.Chtimes(path[i], now, now.Add(time.Duration(i-10)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	// The oldest is used, so the second is the one to go.
	fromCache(t, e, text(0), FromCache)
	for name, age := range map[string]time.Duration{".wasmton-old.tmp": 2 * abandoned, ".wasmton-new.tmp": 0, "foreign": 2 * abandoned} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	small, w2 := cached(t, dir, 3*size+size/2)
	path[3] = small.cfg.Cache.entry(&compile(t, small, text(3)).about)
	var there []bool
	for _, p := range slices.Concat(path, []string{filepath.Join(dir, ".wasmton-old.tmp"), filepath.Join(dir, ".wasmton-new.tmp"), filepath.Join(dir, "foreign")}) {
		_, err := os.Lstat(p)
		there = append(there, err == nil)
	}
	if want := []bool{true, false, true, true, false, true, true}; !slices.Equal(there, want) {
		t.Errorf("there are %v, want %v", there, want)
	}
	if len(w.list)+len(w2.list) > 0 {
		t.Errorf("warnings %q %q", w.list, w2.list)
	}

	// An entry that is larger than the cache is not kept, nor is it an error.
	tiny, w3 := cached(t, dir, 1)
	compile(t, tiny, text(5))
	if got := entries(t, dir); len(got) > 0 || len(w3.list) > 0 {
		t.Errorf("%v is left, warnings %q", got, w3.list)
	}
}

// TestManyAtOnce has engines compile the same modules into one cache that is too small
// for them, so that entries come and go under each other's hands.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() {
			w := &warnings{}
			cache, err := OpenCache(CacheConfig{Dir: dir, MaxBytes: 60 << 10, Warn: w.add})
			if err != nil {
				t.Error(err)
				return
			}
			e, err := NewEngineWith(EngineConfig{Cache: cache})
			if err != nil {
				t.Error(err)
				return
			}
			defer e.Close()
			for i := range 30 {
				want := fmt.Sprintf("hell%d", (i+n)%5)
				m, err := e.Compile("guest.wat", []byte(strings.Replace(artifactText, "hello", want, 1)))
				if err != nil {
					t.Error(err)
					return
				}
				var r recorder
				in, err := m.Instantiate(t.Context(), &Config{Output: r.output})
				if err != nil {
					t.Error(err)
					return
				}
				_, err = drive(in, "\x7f")
				in.Close()
				if got := fmt.Sprint(r.lines); err != nil || got != fmt.Sprintf("[0 stdout %q]", want) {
					t.Errorf("%s, %v, want the output of %s", got, err, want)
				}
			}
			if len(w.list) > 0 {
				t.Errorf("warnings %q", w.list)
			}
		})
	}
	group.Wait()
	if left, err := filepath.Glob(filepath.Join(dir, ".wasmton-*")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
