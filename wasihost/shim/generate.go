package shim

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

//go:embed back.wat
var backText string

//go:embed calls.wat
var callsText string

//go:embed command.wat
var commandText string

// Type is a function's type in short: a letter for each parameter, ">", and a
// letter for each result. i is i32 and I is i64; no host call has others.
type Type string

// Params returns the letters of the parameters.
func (t Type) Params() string { p, _, _ := strings.Cut(string(t), ">"); return p }

// Results returns the letters of the results.
func (t Type) Results() string { _, r, _ := strings.Cut(string(t), ">"); return r }

var letters = map[rune]string{'i': " i32", 'I': " i64"}

func spell(of string) string {
	var b strings.Builder
	for _, c := range of {
		b.WriteString(letters[c])
	}
	return b.String()
}

// wat is the type as it stands in a function's head.
func (t Type) wat() string {
	var b strings.Builder
	if p := t.Params(); p != "" {
		b.WriteString(" (param" + spell(p) + ")")
	}
	if r := t.Results(); r != "" {
		b.WriteString(" (result" + spell(r) + ")")
	}
	return b.String()
}

// forward are the arguments that hand all parameters on.
func (t Type) forward() string {
	var b strings.Builder
	for i := range t.Params() {
		fmt.Fprintf(&b, " (local.get %d)", i)
	}
	return b.String()
}

// Func is a function by its name and type.
type Func struct {
	Name string
	Type Type
}

// Variant says what one guest needs.
type Variant struct {
	// Calls are those of the guest's imports that the shim satisfies, each once.
	Calls []Func
	// RunResult is whether the guest's run returns an i32.
	RunResult bool
	// Command is whether the guest is a program: it has no run, and its standard
	// streams are the host's.
	Command bool
	// Traced is whether the host is told of each call before and after.
	Traced bool
	// Native and Host give the types of the functions that back may import.
	Native, Host func(name string) (Type, bool)
}

// Code is a generated variant.
type Code struct {
	Front, Back string // in WebAssembly's text form
	// Native and Host name what back imports, in order, after the guest's memory,
	// its run unless it is a command, and front's table.
	Native, Host []string
}

// Module names, by which the shim's frames are told from the guest's in a
// backtrace.
const (
	FrontName = "wasmton_shim_front"
	BackName  = "wasmton_shim_back"
)

// Front's exports by number: its table, and then the trampolines of the calls in
// their order.
const (
	FrontTable = 0
	FrontCalls = 1
)

// Generate makes the two modules of a variant.
func Generate(v Variant) (*Code, error) {
	g := generator{calls: map[string]int{}, parts: parts(callsText)}
	if v.Command {
		maps.Copy(g.parts, parts(commandText))
	}
	for i, c := range v.Calls {
		g.calls[c.Name] = i
	}
	for _, c := range v.Calls {
		if err := g.call(c, v.Traced); err != nil {
			return nil, err
		}
		if v.Traced {
			g.trace(c)
		}
	}
	back, err := g.back(v)
	if err != nil {
		return nil, err
	}
	return &Code{Front: front(v.Calls), Back: back, Native: g.native, Host: g.host}, nil
}

// front is a table and a trampoline a call.
func front(calls []Func) string {
	var b strings.Builder
	fmt.Fprintf(&b, "(module $%s\n(table $table (export \"table\") %d %[2]d funcref)\n", FrontName, len(calls))
	for i, c := range calls {
		fmt.Fprintf(&b, "(func $%s (export \"%d\")%s\n  (call_indirect $table%[3]s%s (i32.const %[2]d)))\n",
			c.Name, i, c.Type.wat(), c.Type.forward())
	}
	b.WriteString(")\n")
	return b.String()
}

type generator struct {
	parts        map[string]part
	calls        map[string]int // index by name
	have         []string       // parts taken so far
	text         strings.Builder
	native, host []string
}

// call adds a call's function and all that it needs. Where calls are traced, those
// that need neither a part nor a guard are there too, and lead to the native function.
func (g *generator) call(c Func, traced bool) error {
	gd, guarded := guards[c.Name]
	if _, ok := g.parts[c.Name]; ok || !guarded && !traced {
		return g.part(c.Name)
	}
	if !guarded {
		gd = guard{terminal: notTerminal}
	}
	g.text.WriteString(gd.function(c.Name, c.Type))
	g.want(&g.native, c.Name)
	return nil
}

// trace adds a function around a call's, which lays down the arguments and tells
// the host of the call before and after.
func (g *generator) trace(c Func) {
	b := &g.text
	fmt.Fprintf(b, "(func $traced_%s%s\n  (local $result i32)\n", c.Name, c.Type.wat())
	for i, letter := range c.Type.Params() {
		value := fmt.Sprintf("(local.get %d)", i)
		if letter == 'i' {
			value = "(i64.extend_i32_u " + value + ")"
		}
		fmt.Fprintf(b, "  (i64.store $box (i32.const %d) %s)\n", TraceArgs+8*i, value)
	}
	const told = "  (call $host_trace_%s (i32.load $box (i32.const %d)) (i32.const %d)%s)\n"
	fmt.Fprintf(b, told, "enter", Instance, g.calls[c.Name], "")
	call := "(call $" + c.Name + c.Type.forward() + ")"
	if c.Type.Results() != "" {
		call = "(local.set $result " + call + ")"
	}
	b.WriteString("  " + call + "\n")
	fmt.Fprintf(b, told, "leave", Instance, g.calls[c.Name], " (local.get $result)")
	if c.Type.Results() != "" {
		b.WriteString("  (local.get $result)")
	}
	b.WriteString(")\n")
	g.want(&g.host, "trace_enter")
	g.want(&g.host, "trace_leave")
}

func (g *generator) part(name string) error {
	if slices.Contains(g.have, name) {
		return nil
	}
	p, ok := g.parts[name]
	if !ok {
		return fmt.Errorf("the shim has no function %q", name)
	}
	g.have = append(g.have, name)
	g.text.WriteString(strings.ReplaceAll(p.text, "%call%", strconv.Itoa(g.calls[name])))
	for _, need := range p.needs {
		if n, ok := strings.CutPrefix(need, "native:"); ok {
			g.want(&g.native, n)
		} else if n, ok := strings.CutPrefix(need, "host:"); ok {
			g.want(&g.host, n)
		} else if err := g.part(need); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) want(list *[]string, name string) {
	if !slices.Contains(*list, name) {
		*list = append(*list, name)
	}
}

func (g *generator) back(v Variant) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "(module $%s\n", BackName)
	b.WriteString("(import \"guest\" \"memory\" (memory $guest 0))\n")
	callRun, result := "(call $run)", ""
	if v.RunResult {
		result = " (result i32)"
		callRun = `(if (local.tee $result (call $run)) (then
        (i32.store $box (i32.const %Value%) (local.get $result))
        (i32.store $box (i32.const %Status%) (i32.const %StatusResult%))
        (br $out)))`
	}
	if !v.Command {
		fmt.Fprintf(&b, "(import \"guest\" \"run\" (func $run%s))\n", result)
	}
	fmt.Fprintf(&b, "(import \"front\" \"table\" (table $table %d funcref))\n", len(v.Calls))
	for _, kind := range []struct {
		name  string
		list  []string
		types func(string) (Type, bool)
	}{{"native", g.native, v.Native}, {"host", g.host, v.Host}} {
		for _, name := range kind.list {
			t, ok := kind.types(name)
			if !ok {
				return "", fmt.Errorf("the shim needs %s function %q, which the host does not have", kind.name, name)
			}
			fmt.Fprintf(&b, "(import %q %q (func $%s_%s%s))\n", kind.name, name, kind.name, name, t.wat())
		}
	}
	b.WriteString("(memory $box (export \"mailbox\") 1)\n(export \"memory\" (memory $guest))\n")
	if len(v.Calls) > 0 {
		b.WriteString("(elem (table $table) (i32.const 0) func")
		prefix := " $"
		if v.Traced {
			prefix = " $traced_"
		}
		for _, c := range v.Calls {
			b.WriteString(prefix + c.Name)
		}
		b.WriteString(")\n")
	}
	if v.Command {
		b.WriteString("(func $run unreachable)\n")
	}
	b.WriteString(strings.ReplaceAll(backText, "%CallRun%", callRun))
	b.WriteString(g.text.String())
	b.WriteString(")\n")
	return g.fill(b.String())
}

// fill replaces the names between percent signs.
func (g *generator) fill(text string) (string, error) {
	pairs := make([]string, 0, 2*(len(numbers)+len(g.calls)))
	for name, n := range numbers {
		pairs = append(pairs, "%"+name+"%", strconv.Itoa(n))
	}
	for name, i := range g.calls {
		pairs = append(pairs, "%call:"+name+"%", strconv.Itoa(i))
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	if _, rest, ok := strings.Cut(text, "%"); ok {
		name, _, _ := strings.Cut(rest, "%")
		return "", fmt.Errorf("the shim's text has an unknown name %q", name)
	}
	return text, nil
}

// numbers are the names that the text may use.
var numbers = map[string]int{
	"Cursor": Cursor, "Count": Count, "Next": Next, "Yield": Yield,
	"Status": Status, "StatusResult": StatusResult, "Value": Value,
	"OutputLen": OutputLen, "Mute": Mute, "Instance": Instance, "Scratch": Scratch, "TaskHead": TaskHead,
	"Mark": Mark, "StatusGrown": StatusGrown,

	"Fault": Fault, "FaultCall": FaultCall, "FaultAddr": FaultAddr,
	"FaultLen": FaultLen, "FaultMemory": FaultMemory,
	"FaultBounds": FaultBounds, "FaultExit": FaultExit,

	"FDTable": FDTable, "FDCount": FDCount, "FDLimit": FDLimit, "FDEntry": FDEntry,
	"FDReadOnly": FDReadOnly,

	"Output": Output, "OutputWord": Output + 4, "OutputData": Output + OutputHead, "OutputHead": OutputHead,
	// The area is full when there is no room for a head and a byte.
	"OutputFull": OutputSize - OutputHead - 1, "OutputRoom": OutputSize - OutputHead,

	"MaxVectors": maxVectors, "MaxPath": maxPath, "MaxSubscriptions": maxSubscriptions, "MaxRandom": maxRandom,

	"EACCES": errnoAcces, "EBADF": errnoBadf, "EINVAL": errnoInval, "EMFILE": errnoMfile,
	"ENAMETOOLONG": errnoNametoolong, "ENOENT": errnoNoent, "EROFS": errnoRofs,
}

// part is one function of calls.wat or command.wat.
type part struct {
	text  string
	needs []string
}

// parts splits a text at the lines that begin with three semicolons.
func parts(text string) map[string]part {
	all := map[string]part{}
	_, rest, _ := strings.Cut(text, "\n;;; ")
	for section := range strings.SplitSeq(rest, "\n;;; ") {
		head, text, _ := strings.Cut(section, "\n")
		words := strings.Fields(head)
		p := part{text: text + "\n"}
		if len(words) > 2 {
			p.needs = words[2:]
		}
		all[words[0]] = p
	}
	return all
}

// String gives the type as people write it: (i64, i32) -> i32.
func (t Type) String() string {
	return TypeText(strings.Fields(spell(t.Params())), strings.Fields(spell(t.Results())))
}

// TypeText writes a function's type: (i64, i32) -> i32, or () for a function
// without parameters and results.
func TypeText(params, results []string) string {
	text := "(" + strings.Join(params, ", ") + ")"
	switch len(results) {
	case 0:
		return text
	case 1:
		return text + " -> " + results[0]
	}
	return text + " -> (" + strings.Join(results, ", ") + ")"
}
