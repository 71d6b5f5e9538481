package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadModule(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if code, err := readModule(write("ok.wasm", "\x00asm")); err != nil || string(code) != "\x00asm" {
		t.Errorf("%q, %v", code, err)
	}
	huge := write("huge.wasm", "") // sparse: it takes no room
	if err := os.Truncate(huge, maxModuleSize+1); err != nil {
		t.Fatal(err)
	}
	for path, part := range map[string]string{
		filepath.Join(dir, "missing.wasm"): "missing.wasm: no such file",
		dir:                                "is a directory",
		huge:                               "more than 1GiB",
		write("empty.wasm", ""):            "the file is empty",
	} {
		if _, err := readModule(path); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want an error with %q", path, err, part)
		}
	}
}
