package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/wasmton/wasmton"

// rule is a wall around a package and all packages below it.
type rule struct {
	pkg string // below the module
	// only, where set, are the only imports beside the standard library, with all below
	// them. The package's own are always allowed.
	only []string
	// never are imports that must not even be reached through others.
	never []string
	why   string
}

var rules = []rule{
	{
		pkg: "processor", only: []string{}, // but see except
		why: "it is what both arms agree on: whoever writes a processor must need nothing else",
	},
	{
		pkg:   "consumer",
		only:  []string{module + "/processor", "github.com/twmb/franz-go", "github.com/prometheus/client_golang"},
		never: []string{wasmtime, module + "/wasihost", module + "/processor/wasm"},
		why:   "a Go program that runs Go processors must build without cgo",
	},
	{
		pkg:   "wasihost",
		never: []string{module + "/processor", module + "/consumer", "github.com/twmb/franz-go"},
		why:   "the host knows neither Kafka nor records: a guest is run by whoever has work for it",
	},
	{
		pkg:   "processor/wasm",
		never: []string{"github.com/twmb/franz-go", module + "/consumer"},
		why:   "a guest must run without Kafka",
	},
}

const wasmtime = "github.com/bytecodealliance/wasmtime-go"

// except are packages below that have walls of their own.
var except = map[string][]string{"processor": {"processor/wasm"}}

// owners may import a library that nobody else in the module may.
var owners = map[string]struct {
	pkgs []string
	why  string
}{
	wasmtime: {[]string{"wasihost"}, "the day a second engine is wanted must be one package's change"},
}

// files are libraries that within a package only one file may import.
var files = []struct{ pkg, library, file, why string }{
	{"consumer", "github.com/prometheus/client_golang", "metrics.go", "the way of a record must not be drowned in metrics"},
}

type pkg struct {
	ImportPath   string
	Dir          string
	Standard     bool
	Imports      []string
	Deps         []string
	GoFiles      []string
	CgoFiles     []string
	TestImports  []string
	XTestImports []string
}

// list returns packages as the go command sees them.
func list(t *testing.T, env []string, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json"}, args...)...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(cmd.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(out); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return pkgs
}

// within reports whether path is root or below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/") ||
		strings.HasPrefix(path, root+"@") || // never in import paths, but in module paths
		strings.HasPrefix(path, root+"/v")
}

func withinAny(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return within(path, root) })
}

// standard reports whether an import path is of the standard library: the first
// element of others has a dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// breaks says where a package breaks a rule.
func (r rule) breaks(p pkg) (broken []string) {
	root := module + "/" + r.pkg
	if !within(p.ImportPath, root) {
		return nil
	}
	for _, e := range except[r.pkg] {
		if within(p.ImportPath, module+"/"+e) {
			return nil
		}
	}
	for _, i := range p.Imports {
		if r.only != nil && !standard(i) && !within(i, root) && !withinAny(i, r.only) {
			broken = append(broken, p.ImportPath+" imports "+i+": "+r.why)
		}
	}
	for _, d := range p.Deps {
		if withinAny(d, r.never) {
			broken = append(broken, p.ImportPath+" reaches "+d+": "+r.why)
		}
	}
	return broken
}

func TestWalls(t *testing.T) {
	pkgs := list(t, nil, "./...")
	if len(pkgs) < 5 {
		t.Fatalf("%d packages: the test does not see the module", len(pkgs))
	}
	for _, p := range pkgs {
		for _, r := range rules {
			for _, b := range r.breaks(p) {
				t.Error(b)
			}
		}
		for library, owner := range owners {
			for _, i := range p.Imports {
				if within(i, library) && !slices.ContainsFunc(owner.pkgs, func(o string) bool { return within(p.ImportPath, module+"/"+o) }) {
					t.Errorf("%s imports %s: %s", p.ImportPath, i, owner.why)
				}
			}
		}
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if within(i, module+"/cmd") && !within(p.ImportPath, module+"/cmd") {
				t.Errorf("%s imports %s: nobody imports the command, the only reader of flags, environment and signals", p.ImportPath, i)
			}
		}
	}
	for _, r := range rules {
		if !slices.ContainsFunc(pkgs, func(p pkg) bool { return p.ImportPath == module+"/"+r.pkg }) {
			t.Errorf("there is a wall around %s, and no such package", r.pkg)
		}
	}
}

// The rules themselves are tested on packages that break them.
func TestWallsHold(t *testing.T) {
	for name, c := range map[string]struct {
		p    pkg
		want int
	}{
		"processor, clean":            {pkg{ImportPath: module + "/processor", Imports: []string{"context", "net/http"}}, 0},
		"processor, a library":        {pkg{ImportPath: module + "/processor", Imports: []string{"github.com/x/y"}}, 1},
		"processor, the other arm":    {pkg{ImportPath: module + "/processor", Imports: []string{module + "/consumer"}}, 1},
		"its suite":                   {pkg{ImportPath: module + "/processor/processortest", Imports: []string{module + "/processor"}}, 0},
		"its wasm":                    {pkg{ImportPath: module + "/processor/wasm", Imports: []string{module + "/wasihost"}}, 0},
		"its wasm, with Kafka":        {pkg{ImportPath: module + "/processor/wasm", Deps: []string{"github.com/twmb/franz-go/pkg/kgo"}}, 1},
		"consumer, clean":             {pkg{ImportPath: module + "/consumer", Imports: []string{"github.com/twmb/franz-go/pkg/kgo", module + "/consumer/internal/pace"}}, 0},
		"consumer, the engine":        {pkg{ImportPath: module + "/consumer", Deps: []string{wasmtime + "/v14"}}, 1},
		"consumer, another library":   {pkg{ImportPath: module + "/consumer/internal/pace", Imports: []string{"github.com/x/y"}}, 1},
		"consumer, a name like it":    {pkg{ImportPath: module + "/consumer", Imports: []string{"github.com/twmb/franz-gone"}}, 1},
		"wasihost, records":           {pkg{ImportPath: module + "/wasihost", Deps: []string{module + "/processor"}}, 1},
		"another package, everything": {pkg{ImportPath: module + "/cmd/wasmton", Imports: []string{"github.com/x/y"}, Deps: []string{wasmtime + "/v14"}}, 0},
	} {
		var broken []string
		for _, r := range rules {
			broken = append(broken, r.breaks(c.p)...)
		}
		if len(broken) != c.want {
			t.Errorf("%s: %q, want %d", name, broken, c.want)
		}
	}
}

func TestTheConsumerNeedsNoCgo(t *testing.T) {
	env := []string{"CGO_ENABLED=0"}
	for _, p := range list(t, env, "-deps", "./consumer/...", "./processor") {
		if len(p.CgoFiles) > 0 && !p.Standard {
			t.Errorf("%s uses cgo in %v", p.ImportPath, p.CgoFiles)
		}
	}
	cmd := exec.Command("go", "build", "./consumer/...", "./processor")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(cmd.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("without cgo: %v\n%s", err, out)
	}
}
