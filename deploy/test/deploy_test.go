// Package deploytest checks the files that deploy wasmton without deploying
// anything: each is read by the parser of the tool that it is for, and held
// against the others, the repository and the wasmton binary.
//
// A check returns what is wrong as sentences. Each has a table of mistakes: an
// edit of one file, and what the check must say of it. So every rule is seen to
// fail whenever the tests run.
//
// It is a module of its own because the parsers bring in more than wasmton does.
// The go command remembers a pass for as long as the files of that module are
// the same, and those under test are not among them: run it with -count=1.
package deploytest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the repository, seen from this directory, where go test runs.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// The files under test, by their paths in the repository.
const (
	dockerignoreFile      = ".dockerignore"
	composeFile           = "docker-compose.yml"
	dockerfileFile        = "deploy/Dockerfile"
	exampleDockerfileFile = "deploy/kubernetes/example.Dockerfile"
	manifestFile          = "deploy/kubernetes/wasmton.yaml"
)

// files are texts by path.
type files map[string]string

func readFiles(t *testing.T) files {
	t.Helper()
	f := files{}
	for _, path := range []string{dockerignoreFile, composeFile, dockerfileFile, exampleDockerfileFile, manifestFile} {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		f[path] = string(text)
	}
	return f
}

// problems collects what a check has found wrong.
type problems []string

func (p *problems) addf(format string, args ...any) {
	*p = append(*p, fmt.Sprintf(format, args...))
}

// mistake is an edit that somebody could make, and a part of what must be said of it.
type mistake struct {
	name     string
	file     string
	old, new string // old occurs once in the file
	want     string
}

// testCheck expects that check finds nothing wrong with the files as they are,
// and each mistake once it is made.
func testCheck(t *testing.T, check func(*testing.T, files) problems, mistakes []mistake) {
	good := readFiles(t)
	for _, p := range check(t, good) {
		t.Error(p)
	}
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			if n := strings.Count(good[m.file], m.old); n != 1 {
				t.Fatalf("%s has %q %d times; the mistake needs it once", m.file, m.old, n)
			}
			bad := maps.Clone(good)
			bad[m.file] = strings.Replace(good[m.file], m.old, m.new, 1)
			found := strings.Join(check(t, bad), "\n")
			t.Log(found)
			if !strings.Contains(found, m.want) {
				t.Errorf("with %q for %q in %s the check says %q, nothing like %q", m.new, m.old, m.file, found, m.want)
			}
		})
	}
}
