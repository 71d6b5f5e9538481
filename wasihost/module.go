package wasihost

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

// Module is a compiled guest. It is safe for concurrent use.
type Module struct {
	engine   *Engine
	module   *wt.Module
	name     string
	about    artifactAbout
	outline  outline
	debug    *debugInfo // nil without DWARF, and where code came as an artifact
	origin   Origin
	loadTime time.Duration

	imports, exports []Symbol
	problems         []string // as a processor
	commandProblems  []string // as a command
	plans            plans
	runResult        bool
	init             bool  // exports _initialize
	minMemory        int64 // bytes

	uses     uses // of the compiled code
	tryStart func() error
}

// Compile compiles a core module from its binary or its text form. name is for
// messages. The error is a *FormatError where code is not a core module. Where the
// engine has a cache, code that is there is loaded instead.
func (e *Engine) Compile(name string, code []byte) (*Module, error) {
	binary, err := binaryForm(name, code)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	about := e.about()
	about.describe(name, binary)
	debug := newDebugInfo(about.Outline)
	about.Outline.debug, about.Outline.codeStart = nil, 0 // debug has them
	if compiled := e.cfg.Cache.load(e, &about); compiled != nil {
		return e.newModule(name, compiled, &about, debug, FromCache, begun), nil
	}
	begun = time.Now()
	compiled, err := wt.NewModule(e.engine, binary)
	if err != nil {
		return nil, compileError(name, err)
	}
	about.Compile = time.Since(begun)
	e.cfg.Cache.store(compiled, &about)
	return e.newModule(name, compiled, &about, debug, Compiled, begun), nil
}

// newModule makes a Module of compiled code, which it began to get at some time.
func (e *Engine) newModule(name string, code *wt.Module, about *artifactAbout, debug *debugInfo, from Origin, begun time.Time) *Module {
	m := &Module{
		engine:  e,
		module:  code,
		name:    name,
		about:   *about,
		outline: about.Outline,
		debug:   debug,
		origin:  from,
	}
	m.examine()
	m.loadTime = time.Since(begun)
	m.plans = m.newPlans()
	m.tryStart = sync.OnceValue(m.start)
	return m
}

// Name returns the name that Compile was given, or the path that LoadFile was.
func (m *Module) Name() string { return m.name }

// Digest returns the SHA-256 of the module's binary form, also where the code was
// compiled before.
func (m *Module) Digest() [32]byte { return [32]byte(m.about.Digest) }

// Size returns the bytes of the binary form.
func (m *Module) Size() int { return m.about.Size }

// Origin returns where the code came from.
func (m *Module) Origin() Origin { return m.origin }

// CompileTime returns how long compilation took when the code was compiled, by this
// process or an earlier one.
func (m *Module) CompileTime() time.Duration { return m.about.Compile }

// LoadTime returns how long it took to have the module ready, whatever its origin.
func (m *Module) LoadTime() time.Duration { return m.loadTime }

// CPU returns the level that the code was compiled for.
func (m *Module) CPU() string { return m.about.CPU }

// Imports returns what the module imports, in its order.
func (m *Module) Imports() []Symbol { return slices.Clone(m.imports) }

// Exports returns what the module exports, in its order.
func (m *Module) Exports() []Symbol { return slices.Clone(m.exports) }

// Check says whether the module follows the contract and whether all that it
// imports is there. The error is a *LinkError that lists every problem. Where the
// module has a start function, Check runs it, with nothing granted.
func (m *Module) Check() error {
	if len(m.problems) > 0 {
		return &LinkError{Name: m.name, Problems: slices.Clone(m.problems)}
	}
	if _, err := m.plan(mode{}); err != nil {
		return err
	}
	return m.tryStart()
}

// start runs the start function to see whether it calls the host, which it must
// not. Whatever else may go wrong in it is for Instantiate to say.
func (m *Module) start() error {
	if !m.outline.Start {
		return nil
	}
	md := mode{command: len(m.problems) > 0}
	in, err := m.instantiate(context.Background(), md, &Config{
		TaskTimeout: time.Second,
		// Not more than it needs to begin: it may set out to fill all that it gets.
		MemoryLimit: max(DefaultMemoryLimit, m.minMemory),
	}, guestOnly)
	in.Close()
	if _, ok := errors.AsType[*LinkError](err); ok {
		return err
	}
	return nil
}

// Symbol is an import or an export of a module.
type Symbol struct {
	Module string // of an import; "" for an export
	Name   string
	Kind   string // func, memory, table, global
	Type   string // as text, such as (i64, i32) -> i32 or "17 pages or more"
	// Problem is "" where the host satisfies the import or has no objection to
	// the export; otherwise it says why the module would be refused.
	Problem string
}
