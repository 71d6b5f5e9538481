package wasihost

import (
	"fmt"
	"slices"
	"strings"

	wt "github.com/bytecodealliance/wasmtime-go/v14"

	"github.com/wasmton/wasmton/wasihost/shim"
)

const noRun = `it does not export "run". ` +
	`Rust: #[no_mangle] pub extern "C" fn run() in a crate of type cdylib; ` +
	`Go: //go:wasmexport run, built with -buildmode=c-shared; ` +
	`C: __attribute__((export_name("run"))), built with -mexec-model=reactor (or -Wl,--export=run)`

const isCommand = `it exports "_start" and not "run": it is a command, with a main function, and a processor is a library. `

// examine reads the module's imports and exports, and finds what stands between it
// and the contract.
func (m *Module) examine() {
	for _, t := range m.module.Imports() {
		m.imports = append(m.imports, m.examineImport(t))
	}
	for _, s := range m.imports {
		if s.Problem != "" {
			m.problems = append(m.problems, fmt.Sprintf("import %s.%s: %s", s.Module, s.Name, s.Problem))
		}
	}
	m.commandProblems = slices.Clone(m.problems)
	for _, t := range m.module.Exports() {
		m.exports = append(m.exports, m.examineExport(t))
	}
	for _, s := range m.exports {
		if s.Problem != "" {
			m.problems = append(m.problems, fmt.Sprintf("export %s: %s", s.Name, s.Problem))
		}
	}
	has := func(name string) bool {
		return slices.ContainsFunc(m.exports, func(s Symbol) bool { return s.Name == name })
	}
	if m.outline.Object {
		m.problems = append(m.problems, "it is an object file: link it first, with wasm-ld or by the compiler without -c")
	}
	if !has("memory") {
		m.problems = append(m.problems, `it does not export its memory as "memory"`)
	}
	switch {
	case has("run"):
	case has("_start"):
		m.problems = append(m.problems, isCommand+noRun)
	default:
		m.problems = append(m.problems, noRun)
	}
	if !slices.ContainsFunc(m.imports, func(s Symbol) bool { return s.Module == decaton && s.Name == "poll_task" }) {
		m.problems = append(m.problems,
			"it does not import decaton.poll_task (i64, i32) -> i32, so it could never see a task")
	}
	if m.outline.Memories > 1 {
		m.problems = append(m.problems, fmt.Sprintf("it has %d memories, and a guest may have one", m.outline.Memories))
	}
	if n := len(m.outline.Tables); n > maxTables {
		m.problems = append(m.problems, fmt.Sprintf("it has %d tables, and a guest may have %d", n, maxTables))
	}
	m.examineCommand()
}

func (m *Module) examineImport(t *wt.ImportType) Symbol {
	s := Symbol{Module: t.Module()}
	if n := t.Name(); n != nil {
		s.Name = *n
	}
	s.Kind, s.Type = describeType(t.Type())
	switch known := findImportable(s.Module, s.Name); {
	case known == nil:
		s.Problem = unknownImport(s)
	case s.Kind != "func":
		s.Problem = fmt.Sprintf("it is imported as a %s, and is a function %s", s.Kind, known.typ)
	case s.Type != known.typ.String():
		s.Problem = fmt.Sprintf("it is imported with type %s, and has type %s", s.Type, known.typ)
	}
	return s
}

func (m *Module) examineExport(t *wt.ExportType) Symbol {
	s := Symbol{Name: t.Name()}
	s.Kind, s.Type = describeType(t.Type())
	want := func(kind string, types ...string) bool {
		if s.Kind == kind && (types == nil || slices.Contains(types, s.Type)) {
			return true
		}
		if s.Kind != kind {
			s.Problem = fmt.Sprintf("it is a %s, and must be a %s", s.Kind, kind)
		} else {
			s.Problem = fmt.Sprintf("it has type %s, and must have %s", s.Type, strings.Join(types, " or "))
		}
		return false
	}
	switch s.Name {
	case "memory":
		if want("memory") {
			m.minMemory = int64(t.Type().MemoryType().Minimum()) * shim.PageSize
		}
	case "run":
		if want("func", "()", "() -> i32") {
			m.runResult = s.Type != "()"
		}
	case "_initialize":
		m.init = want("func", "()")
	}
	return s
}

// unknownImport says why an import is not there, and what may help.
func unknownImport(s Symbol) string {
	switch {
	case s.Module == decaton:
		return "there is no such function; decaton has poll_task (i64, i32) -> i32 and task_size () -> i32"
	case s.Module == preview1:
		if strings.HasPrefix(s.Name, "sock_") {
			return "there is no such function: guests cannot open connections"
		}
		if near := nearest(s.Name); near != "" {
			return fmt.Sprintf("there is no such function; did you mean %s?", near)
		}
		return "there is no such function in WASI preview 1"
	case s.Module == "wasi_unstable":
		return "this is an early form of WASI: rebuild with a toolchain that has wasm32-wasip1 (wasm32-wasi)"
	case strings.HasPrefix(s.Module, "wasi:"):
		return "this is WASI preview 2: build for wasm32-wasip1"
	case s.Module == "wasi":
		return "there are no threads for guests: build without wasi-threads"
	case s.Module == "env" && s.Name == "abort":
		return "build AssemblyScript with --use abort= (it then traps instead)"
	case s.Module == "env":
		return "there is no such function: most likely a symbol that was left undefined when the module was linked"
	case s.Module == "go" || s.Module == "gojs":
		return "the module was built for a browser: build with GOOS=wasip1 GOARCH=wasm -buildmode=c-shared"
	case strings.HasPrefix(s.Module, "__wbindgen"):
		return "the module was built for a browser with wasm-bindgen: build for wasm32-wasip1 without it"
	}
	return fmt.Sprintf("there is no module %q; guests may import from decaton and wasi_snapshot_preview1", s.Module)
}

// nearest is the name of a WASI function at most two edits away, or "".
func nearest(name string) string {
	best, bestDistance := "", 3
	for _, f := range importables {
		if d := distance(name, f.name); f.module == preview1 && d < bestDistance {
			best, bestDistance = f.name, d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete or replace to make a b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// describeType returns a symbol's kind and its type as text.
func describeType(t *wt.ExternType) (kind, text string) {
	if f := t.FuncType(); f != nil {
		return "func", funcText(f)
	}
	if m := t.MemoryType(); m != nil {
		has, most := m.Maximum()
		return "memory", rangeText(m.Minimum(), most, has, "pages")
	}
	if tt := t.TableType(); tt != nil {
		has, most := tt.Maximum()
		return "table", valueText(tt.Element()) + ", " + rangeText(uint64(tt.Minimum()), uint64(most), has, "elements")
	}
	if g := t.GlobalType(); g != nil {
		if g.Mutable() {
			return "global", valueText(g.Content()) + ", mutable"
		}
		return "global", valueText(g.Content())
	}
	return "unknown", ""
}

func rangeText(least, most uint64, bounded bool, unit string) string {
	switch {
	case !bounded:
		return fmt.Sprintf("%d %s or more", least, unit)
	case least == most:
		return fmt.Sprintf("%d %s", least, unit)
	}
	return fmt.Sprintf("%d to %d %s", least, most, unit)
}

func funcText(f *wt.FuncType) string {
	list := func(types []*wt.ValType) []string {
		names := make([]string, len(types))
		for i, t := range types {
			names[i] = valueText(t)
		}
		return names
	}
	return shim.TypeText(list(f.Params()), list(f.Results()))
}

// valueText names a value's type. The binding's own way panics for v128.
func valueText(t *wt.ValType) string {
	switch kind := t.Kind(); kind {
	case wt.KindI32, wt.KindI64, wt.KindF32, wt.KindF64, wt.KindExternref, wt.KindFuncref:
		return kind.String()
	case kindV128:
		return "v128"
	}
	return "unknown"
}

// kindV128 is the library's number for v128, which the binding does not name.
const kindV128 = 4
