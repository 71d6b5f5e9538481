package wasihost

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// mode is a way to link a module.
type mode struct {
	command bool // as a program, not as a processor
	traced  bool // each host call is told to Config.Trace
}

// plan says how a module is linked in one mode.
type plan struct {
	mode
	calls   []shim.Func // the imports that the shim satisfies, each once
	sources sources     // of all imports, in the module's order
	shim    *variant
}

// plans are a module's, each made when it is first asked for. They are there for
// modules without problems only.
type plans [2][2]func() (*plan, error)

func (m *Module) newPlans() (all plans) {
	for c := range all {
		for t := range all[c] {
			md := mode{command: c == 1, traced: t == 1}
			all[c][t] = sync.OnceValues(func() (*plan, error) {
				p, err := m.newPlan(md)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", m.name, err)
				}
				return p, nil
			})
		}
	}
	return all
}

func (m *Module) plan(md mode) (*plan, error) {
	plans := &m.plans[0]
	if md.command {
		plans = &m.plans[1]
	}
	if md.traced {
		return plans[1]()
	}
	return plans[0]()
}

// shims reports whether the shim stands before a function. Only a command has a
// standard input that is not empty.
func (md mode) shims(f *importable) bool {
	return f.shimmed || md.traced || md.command && f.name == "fd_read"
}

func (m *Module) newPlan(md mode) (*plan, error) {
	p := &plan{mode: md}
	for _, s := range m.imports {
		known := findImportable(s.Module, s.Name)
		if known == nil || !md.shims(known) {
			continue
		}
		if f := (shim.Func{Name: s.Name, Type: known.typ}); !slices.Contains(p.calls, f) {
			p.calls = append(p.calls, f)
		}
	}
	// In one order, so that modules which need the same share a variant.
	slices.SortFunc(p.calls, func(a, b shim.Func) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range m.imports {
		if i := slices.IndexFunc(p.calls, func(f shim.Func) bool { return f.Name == s.Name }); i >= 0 {
			p.sources.addFront(shim.FrontCalls + i)
		} else {
			p.sources.add(fromWASI, s.Name)
		}
	}
	var err error
	p.shim, err = m.engine.variant(md, p.calls, m.runResult && !md.command)
	return p, err
}
