package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleTime is how long a file must stay as it is before it counts as changed. Many
// tools write in place and in steps.
const settleTime = 200 * time.Millisecond

// fileWatcher tells when a file has changed. It watches directories: a file that is
// replaced by a rename is another file, and in Kubernetes what is replaced is a
// symbolic link to a directory on the way to it.
type fileWatcher struct {
	path   string
	events *fsnotify.Watcher
	settle time.Duration
	last   os.FileInfo // as it was when changed was last called; nil where it was not there
}

// watchFile begins to watch. Changes from now on are told by run, which must be called.
func watchFile(path string) (*fileWatcher, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, watchError(err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	w := &fileWatcher{path: abs, events: events, settle: settleTime}
	w.last, _ = os.Stat(abs)
	if err := w.follow(); err != nil {
		_ = events.Close()
		return nil, err
	}
	return w, nil
}

// run calls changed after each change, until ctx ends.
func (w *fileWatcher) run(ctx context.Context, log *slog.Logger, changed func()) {
	defer func() { _ = w.events.Close() }()
	timer := time.NewTimer(0)
	timer.Stop()
	settling, seen := false, w.last
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-w.events.Errors:
			// Most often there were more events than the system keeps; which does not
			// matter, as long as we look.
			log.Debug("watching the module's file", "error", err)
		case <-w.events.Events:
		case <-timer.C:
			now, _ := os.Stat(w.path)
			if !sameFile(seen, now) {
				seen = now
				timer.Reset(w.settle)
				continue
			}
			settling = false
			if now != nil && !sameFile(w.last, now) {
				w.last = now
				changed()
			}
		}
		if err := w.follow(); err != nil {
			log.Warn("the module's file may not be watched any more; SIGHUP does what --watch did", "error", err)
		}
		if now, _ := os.Stat(w.path); !settling && !sameFile(w.last, now) {
			seen, settling = now, true
			timer.Reset(w.settle)
		}
	}
}

// sameFile reports whether nothing has changed from a to b; nil is a file that is not
// there.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// follow watches the directories that are on the way to the file now, and no others.
func (w *fileWatcher) follow() error {
	wanted := directoriesTo(w.path)
	for _, dir := range w.events.WatchList() {
		if !slices.Contains(wanted, dir) {
			_ = w.events.Remove(dir) // gone, and so is its watch
		}
	}
	for _, dir := range wanted {
		if err := w.events.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("directory %s: %w", dir, watchError(err))
		}
	}
	return nil
}

// watchError says what to do about a limit that nobody knows of.
func watchError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("%w: the system watches too many files already (Linux: sysctl fs.inotify.max_user_watches and max_user_instances)", err)
	}
	return err
}

// maxLinks bounds the symbolic links that are followed, as the system does.
const maxLinks = 40

// directoriesTo returns the directories in which a change may make path another file:
// its own, and those of all symbolic links on the way. Where something on the way is
// missing, it is the one in which that would appear.
func directoriesTo(path string) []string {
	const root = string(filepath.Separator)
	var dirs []string
	add := func(dir string) {
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	at, rest, links := root, strings.TrimPrefix(filepath.Clean(path), root), 0
	for rest != "" {
		name, after, _ := strings.Cut(rest, root)
		switch name {
		case "", ".":
			rest = after
			continue
		case "..":
			at, rest = filepath.Dir(at), after
			continue
		}
		target, err := os.Readlink(filepath.Join(at, name))
		switch {
		case err == nil && links < maxLinks:
			links++
			add(at)
			if filepath.IsAbs(target) {
				at = root
			}
			rest = strings.TrimPrefix(target, root) + root + after
			continue
		case errors.Is(err, fs.ErrNotExist):
			add(at)
			return dirs
		case strings.Trim(after, "./") == "":
			add(at)
		}
		at, rest = filepath.Join(at, name), after
	}
	return dirs
}
