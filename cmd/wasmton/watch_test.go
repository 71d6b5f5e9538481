package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

// realDir is a directory of the test's whose path has no symbolic links.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	return dir
}

func TestDirectoriesToAFile(t *testing.T) {
	root := realDir(t)
	write(t, filepath.Join(root, "plain", "m.wasm"), "")
	write(t, filepath.Join(root, "mount", "..2026", "m.wasm"), "")
	write(t, filepath.Join(root, "releases", "42", "sub", "m.wasm"), "")
	link := func(target, name string) { must(t, os.Symlink(target, filepath.Join(root, name))) }
	link("..2026", "mount/..data")
	link("..data/m.wasm", "mount/m.wasm")
	link("releases/42", "current")
	link(filepath.Join(root, "plain", "m.wasm"), "absolute.wasm")
	link("loop", "loop")
	link("nowhere/m.wasm", "dangling")
	link("current/sub/../../../plain", "up") // by way of what current is, not of its name

	for path, want := range map[string]string{
		"plain/m.wasm":        "plain",
		"plain/":              ".",
		"mount/m.wasm":        "mount mount/..2026",
		"current/sub/m.wasm":  ". releases/42/sub",
		"absolute.wasm":       ". plain",
		"loop":                ".",
		"dangling":            ".",
		"plain/gone.wasm":     "plain",
		"gone/further/m.wasm": ".",
		"up/m.wasm":           ". plain",
	} {
		var got []string
		for _, dir := range directoriesTo(filepath.Join(root, path)) {
			rel, err := filepath.Rel(root, dir)
			must(t, err)
			got = append(got, rel)
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// Each way in which a module's file may be replaced is noticed. A way is told by the
// text that the file has afterwards: it may be noticed more than once.
func TestAChangeOfTheFileIsNoticed(t *testing.T) {
	root := realDir(t)
	in := func(name string) string { return filepath.Join(root, name) }
	write(t, in("dir/m.wasm"), "first")
	write(t, in("v1/m.wasm"), "first")
	must(t, os.Symlink("v1", in("..data")))
	must(t, os.Symlink("..data/m.wasm", in("linked.wasm")))
	must(t, os.Mkdir(in("empty"), 0o700))

	for _, test := range []struct {
		name, path string
		change     func()
	}{
		{"written in place", "dir/m.wasm", func() { write(t, in("dir/m.wasm"), "written in place") }},
		{"a rename", "dir/m.wasm", func() {
			write(t, in("dir/next"), "a rename")
			must(t, os.Rename(in("dir/next"), in("dir/m.wasm")))
		}},
		{"removed, and made again", "dir/m.wasm", func() {
			must(t, os.Remove(in("dir/m.wasm")))
			write(t, in("dir/m.wasm"), "removed, and made again")
		}},
		{"with its directory", "dir/m.wasm", func() {
			must(t, os.RemoveAll(in("dir")))
			write(t, in("dir/m.wasm"), "with its directory")
		}},
		{"a link to a directory on the way", "linked.wasm", func() {
			write(t, in("v2/m.wasm"), "a link to a directory on the way")
			must(t, os.Symlink("v2", in("..tmp")))
			must(t, os.Rename(in("..tmp"), in("..data")))
			must(t, os.RemoveAll(in("v1")))
		}},
		{"where the link now leads", "linked.wasm", func() { write(t, in("v2/m.wasm"), "where the link now leads") }},
		{"what was not there", "empty/m.wasm", func() { write(t, in("empty/m.wasm"), "what was not there") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, err := watchFile(in(test.path))
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			texts := make(chan string, 100)
			running.Go(func() {
				w.run(ctx, slog.New(slog.DiscardHandler), func() {
					text, _ := os.ReadFile(in(test.path)) // may be in between
					texts <- string(text)
				})
			})
			notices := func(want string) {
				t.Helper()
				deadline := time.After(patience)
				for {
					select {
					case text := <-texts:
						if text == want {
							return
						}
					case <-deadline:
						t.Fatalf("%q is not noticed", want)
					}
				}
			}
			test.change()
			notices(test.name)
			// Where the file is now is watched too.
			write(t, in(test.path), "again")
			notices("again")
		})
	}
}

// Changes of other files in the directory are no changes of this one.
func TestOtherFilesDoNotCount(t *testing.T) {
	dir := realDir(t)
	path := filepath.Join(dir, "m.wasm")
	write(t, path, "first")
	w, err := watchFile(path)
	must(t, err)
	w.settle = 0 // each event is looked into at once
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	changes := make(chan string, 100)
	running.Go(func() {
		w.run(ctx, slog.New(slog.DiscardHandler), func() {
			text, _ := os.ReadFile(path)
			changes <- string(text)
		})
	})
	for range 50 {
		write(t, filepath.Join(dir, "other"), "other")
		must(t, os.Remove(filepath.Join(dir, "other")))
	}
	write(t, filepath.Join(dir, "next"), "second")
	must(t, os.Rename(filepath.Join(dir, "next"), path)) // the end of what is to be noticed
	if got := <-changes; got != "second" {
		t.Errorf("noticed %q", got)
	}
}

func TestRecycleMemoryValue(t *testing.T) {
	for text, want := range map[string]recycleMemoryValue{"off": -1, " OFF ": -1, "64MiB": 64 << 20, "1": 1} {
		var v recycleMemoryValue
		if err := v.Set(text); err != nil || v != want {
			t.Errorf("%q: %d, %v; want %d", text, v, err, want)
		}
		var again recycleMemoryValue
		if err := again.Set(v.String()); err != nil || again != v {
			t.Errorf("%q is written as %q, which reads as %d, %v", text, v.String(), again, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "64M", "never"} {
		if err := new(recycleMemoryValue).Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
