package arch

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Within a package, some libraries belong to one file.
func TestLibrariesOfOneFile(t *testing.T) {
	for _, f := range files {
		names, err := filepath.Glob(filepath.Join("..", "..", f.pkg, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d files, %v", f.pkg, len(names), err)
		}
		found := false
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			src, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range src.Imports {
				path, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if !within(path, f.library) {
					continue
				}
				found = true
				if filepath.Base(name) != f.file {
					t.Errorf("%s imports %s: only %s does, or %s", name, path, f.file, f.why)
				}
			}
		}
		if !found {
			t.Errorf("%s has no %s that imports %s", f.pkg, f.file, f.library)
		}
	}
}
