package deploytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// checkSources plays the COPYs of the build stages, through .dockerignore, and
// compares what arrives with what the go command says it compiles.
func checkSources(t *testing.T, p *problems, f files, d *dockerfile) {
	patterns, err := ignorefile.ReadAll(strings.NewReader(f[dockerignoreFile]))
	if err != nil {
		p.addf("%s: %v", dockerignoreFile, err)
		return
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		p.addf("%s: %v", dockerignoreFile, err)
		return
	}
	for _, secret := range []string{".git/config", ".env", "build/kafka/data", "bin/wasmton"} {
		if ok, err := ignored.MatchesOrParentMatches(secret); err != nil || !ok {
			p.addf("%s lets %s go to the builder", dockerignoreFile, secret)
		}
	}
	for _, c := range []struct{ stage, module, pattern string }{
		{"build", "", "./cmd/wasmton"},
		{"guest", "examples/go-processor", "."},
	} {
		s := d.named(c.stage)
		if s == nil {
			p.addf("%s has no stage %s", dockerfileFile, c.stage)
			continue
		}
		there, err := copied(d, s, ignored)
		if err != nil {
			p.addf("%s: stage %s: %v", dockerfileFile, c.stage, err)
		}
		var missing []string
		for _, file := range sources(t, c.module, c.pattern) {
			if !there[file] {
				missing = append(missing, path.Join(c.module, file))
			}
		}
		if len(missing) > 0 {
			p.addf("%s: stage %s lacks what it compiles: %s", dockerfileFile, c.stage, strings.Join(missing, " "))
		}
	}
}

// copied returns the files that a stage has from the context, relative to its
// working directory.
func copied(d *dockerfile, s *instructions.Stage, ignored *patternmatcher.PatternMatcher) (map[string]bool, error) {
	there := map[string]bool{}
	var missing []error
	commands, _ := d.commands(s)
	for _, command := range commands {
		c, ok := command.(*instructions.CopyCommand)
		if !ok || c.From != "" {
			continue
		}
		for _, source := range c.SourcePaths {
			top := filepath.Join(root, source)
			err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() {
					return err
				}
				inRoot, err := filepath.Rel(root, name)
				if err != nil {
					return err
				}
				if skip, err := ignored.MatchesOrParentMatches(filepath.ToSlash(inRoot)); err != nil || skip {
					return err
				}
				// Of a directory its contents are copied; a file goes into a directory.
				below, err := filepath.Rel(top, name)
				if err != nil {
					return err
				}
				if below == "." {
					below = filepath.Base(name)
				}
				there[path.Join(c.DestPath, filepath.ToSlash(below))] = true
				return nil
			})
			if err != nil {
				missing = append(missing, fmt.Errorf("COPY %s: %w", source, err))
			}
		}
	}
	return there, errors.Join(missing...)
}

var listed = map[string][]string{}

// sources lists the files of a module, relative to it, that a build for Linux
// compiles into a package, and the module's own. It asks once.
func sources(t *testing.T, module, pattern string) []string {
	t.Helper()
	if files, ok := listed[module]; ok {
		return files
	}
	dir := filepath.Join(root, module)
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json", pattern)
	list.Dir = dir
	list.Env = append(os.Environ(), "GOWORK=off", "GOOS=linux", "CGO_ENABLED=1")
	if module != "" {
		list.Env = append(list.Env, "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	}
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", list, err, stderr.String())
	}
	needed := map[string]bool{"go.mod": true}
	if _, err := os.Stat(filepath.Join(dir, "go.sum")); err == nil {
		needed["go.sum"] = true
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var pkg struct {
			Dir                                                   string
			Module                                                *struct{ Main bool }
			GoFiles, CgoFiles, CFiles, HFiles, SFiles, EmbedFiles []string
		}
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		if pkg.Module == nil || !pkg.Module.Main {
			continue
		}
		for _, file := range slices.Concat(pkg.GoFiles, pkg.CgoFiles, pkg.CFiles, pkg.HFiles, pkg.SFiles, pkg.EmbedFiles) {
			rel, err := filepath.Rel(dir, filepath.Join(pkg.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			needed[filepath.ToSlash(rel)] = true
		}
	}
	listed[module] = slices.Sorted(maps.Keys(needed))
	return listed[module]
}
