package wasihost

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	sub := filepath.Join(dir, "sub")
	linked := filepath.Join(dir, "linked")
	for _, err := range []error{os.WriteFile(file, nil, 0o600), os.Mkdir(sub, 0o755), os.Symlink(sub, linked)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		cfg  Config
		want []string // each on a line of the error
	}{
		{"nothing", Config{}, nil},
		{"all there is", Config{
			Args: []string{"a", ""}, Env: []string{"A=", "B=c=d"}, MemoryLimit: 1 << 16, TaskTimeout: time.Nanosecond,
			Dirs: []Dir{{Host: dir, Guest: "/"}, {Host: sub, Guest: "/sub"}},
		}, nil},
		{"the highest limits", Config{MemoryLimit: 4 << 30, TaskTimeout: 24 * time.Hour}, nil},
		{"limits out of range", Config{MemoryLimit: 1<<16 - 1, TaskTimeout: -1}, []string{
			"memory limit of 65535 bytes: it must be between 64 KiB and 4 GiB", "task timeout of -1ns: it must be more than 0 and at most 24h"}},
		{"limits too high", Config{MemoryLimit: 4<<30 + 1, TaskTimeout: 25 * time.Hour}, []string{"memory limit", "task timeout"}},
		{"a directory that is not there", Config{Dirs: []Dir{{Host: filepath.Join(dir, "no"), Guest: "/"}}}, []string{`/no": no such file or directory`}},
		{"a file", Config{Dirs: []Dir{{Host: file, Guest: "/"}}}, []string{`/file": it is not a directory`}},
		{"no host path", Config{Dirs: []Dir{{Guest: "/x"}}}, []string{"the host's path is empty", "no such file"}},
		{"a guest path that is not absolute", Config{Dirs: []Dir{{Host: dir, Guest: "data"}}}, []string{`as "data": the guest's path must begin with /`}},
		{"a guest path twice", Config{Dirs: []Dir{{Host: dir, Guest: "/d"}, {Host: sub, Guest: "/d/"}}}, []string{"that path is granted twice"}},
		{"a read-only directory in a writable one", Config{Dirs: []Dir{{Host: dir, Guest: "/"}, {Host: linked, Guest: "/ro", ReadOnly: true}}},
			[]string{"is granted read-only, but lies in"}},
		{"the same directory both ways", Config{Dirs: []Dir{{Host: dir, Guest: "/"}, {Host: dir, Guest: "/ro", ReadOnly: true}}},
			[]string{"is granted read-only, but lies in"}},
		{"a writable directory in a read-only one", Config{Dirs: []Dir{{Host: dir, Guest: "/", ReadOnly: true}, {Host: sub, Guest: "/rw"}}}, nil},
		{"too many directories", Config{Dirs: make([]Dir, maxDirs+1)}, nil}, // checked below
		{"what cannot be handed over", Config{Args: []string{"a\x00b", "\xff"}, Env: []string{"A", "=b", "N=\x00"}, Dirs: []Dir{{Host: dir, Guest: "/\xff"}}},
			[]string{`argument 0, "a\x00b": it contains a NUL byte`, `argument 1, "\xff": it is not valid UTF-8`, `"A": it must be NAME=value`, `"=b": it must be NAME=value`, `"N": it contains a NUL`, "it is not valid UTF-8"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.cfg.Check()
			if len(c.cfg.Dirs) > maxDirs {
				if err == nil || !strings.Contains(err.Error(), "65 directories are granted, and the most is 64") {
					t.Error(err)
				}
				return
			}
			if len(c.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("%d problems, want %d:\n%v", len(lines), len(c.want), err)
			}
			for i, line := range lines {
				if !strings.Contains(line, c.want[i]) {
					t.Errorf("%q, want %q", line, c.want[i])
				}
			}
			// What Check refuses is never handed to the library.
			if in, err := compile(t, testEngine, pollingGuest).Instantiate(context.Background(), &c.cfg); err == nil {
				in.Close()
				if !strings.Contains(c.want[0], "read-only") {
					t.Error("Instantiate accepts it")
				}
			} else if !strings.HasPrefix(err.Error(), "guest.wat: ") {
				t.Errorf("Instantiate: %v", err)
			}
		})
	}
}

func TestGrantingAFIFODoesNotBlock(t *testing.T) {
	dir := tree(t)
	cfg := Config{Dirs: []Dir{{Host: filepath.Join(dir, "fifo"), Guest: "/"}}}
	if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), "it is not a directory") {
		t.Error(err)
	}
}
