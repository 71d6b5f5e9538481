package main

import (
	"strings"
	"testing"
)

func TestInspectionAsText(t *testing.T) {
	f := &inspection{
		Module: "p.wasm", Size: 12345, Digest: "sha256:ab", CompileSeconds: 0.0123456, Contract: "decaton",
		Exports: []symbol{{Name: "memory", Kind: "memory", Type: "17 pages or more"}, {Name: "run", Kind: "func", Type: "() -> i32"}},
		Imports: []symbol{},
	}
	var out strings.Builder
	if err := f.print(&out); err != nil {
		t.Fatal(err)
	}
	want := `module       p.wasm
contract     decaton
size         12,345 bytes
digest       sha256:ab
compiled in  12.3ms

exports
  memory  memory  17 pages or more
  run     func    () -> i32

imports  none
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestInspectionShowsWhatWouldBeRefused(t *testing.T) {
	f := &inspection{
		Module:   "p.wasm",
		Imports:  []symbol{{Module: "env", Name: "ev\x1bil", Kind: "func", Type: "() -> ()", Problem: "no such import\nmore"}},
		Problems: []string{"env.evil: no such import\nbuild it\nwithout", "run is missing"},
	}
	var out strings.Builder
	if err := f.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"contract     none (see problems)\n",
		"exports  none\n",
		`  env.ev\x1bil  func  () -> ()  REFUSED: no such import` + "\n",
		"\nproblems\n  - env.evil: no such import\n    build it\n    without\n  - run is missing\n",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is missing in\n%s", part, out.String())
		}
	}
}

func TestInspectionTellsOfAWriteError(t *testing.T) {
	if (&inspection{}).print(brokenWriter{}) == nil || (&inspection{Problems: []string{"x"}}).print(brokenWriter{}) == nil {
		t.Error("no error")
	}
}
