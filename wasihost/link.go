package wasihost

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	wt "github.com/bytecodealliance/wasmtime-go/v14"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// Instantiate makes an instance, links it and calls _initialize. The error is a
// *LinkError where Check would give one; a guest that traps, exits or takes too
// long on the way gives the same types as from Drive, wrapped; ErrInterrupted where
// ctx ended or the engine was interrupted.
func (m *Module) Instantiate(ctx context.Context, cfg *Config) (*Instance, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	if cfg == nil {
		cfg = &Config{}
	}
	if err := cfg.checkValues(); err != nil {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	in, err := m.instantiate(ctx, cfg, whole)
	if err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// extent says how much of an instance is made.
type extent int

const (
	whole     extent = iota
	guestOnly        // no back: enough to run a start function
)

// instantiate returns an instance that the caller closes, with an error too.
func (m *Module) instantiate(ctx context.Context, cfg *Config, e extent) (*Instance, error) {
	in := &Instance{module: m, engine: m.engine, cfg: cfg.withDefaults()}
	in.limit = limitTicks(in.cfg.TaskTimeout)
	in.output.to = cfg.Output
	if ctx.Err() != nil || m.engine.interrupted.Load() {
		return in, ErrInterrupted
	}
	if m.minMemory > in.cfg.MemoryLimit {
		return in, fmt.Errorf("%s: it needs %s of memory to start, and the limit is %s (--memory-limit sets the limit)",
			m.name, bytesText(m.minMemory), bytesText(in.cfg.MemoryLimit))
	}
	shimmed, err := m.shim()
	if err != nil {
		return in, fmt.Errorf("%s: %w", m.name, err)
	}
	in.store = wt.NewStore(m.engine.engine)
	in.context = context_(in.store)
	register(in)
	watch(in.store, in.number)
	wasi, err := in.cfg.wasi()
	if err != nil {
		return in, fmt.Errorf("%s: %w", m.name, err)
	}
	in.store.SetWasi(wasi)

	in.begin(ctx)
	defer in.end()
	front, guest, err := in.linkGuest(shimmed)
	if err != nil || e == guestOnly {
		return in, err
	}
	if err := in.linkBack(shimmed, front, guest); err != nil {
		return in, fmt.Errorf("%s: %w", m.name, err)
	}
	if m.init {
		if err := in.initialize(guest); err != nil {
			return in, err
		}
	}
	return in, nil
}

// linkGuest instantiates the shim's front and the guest, which runs the guest's
// start function.
func (in *Instance) linkGuest(v *variant) (front, guest *wt.Instance, err error) {
	m := in.module
	in.store.Limiter(in.cfg.MemoryLimit, maxTableElements, 2, maxTables+1, 1)
	if front, err = wt.NewInstance(in.store, v.front, nil); err != nil {
		return nil, nil, fmt.Errorf("%s: the shim: %w", m.name, err)
	}
	trampolines := make([]*wt.Extern, len(m.calls))
	for i := range trampolines {
		trampolines[i] = front.GetExport(in.store, strconv.Itoa(i))
	}
	imports := make([]wt.AsExtern, len(m.sources))
	for i, s := range m.sources {
		if s.native != "" {
			imports[i] = m.engine.linker.Get(in.store, preview1, s.native)
		} else {
			imports[i] = trampolines[s.call]
		}
	}
	guest, err = wt.NewInstance(in.store, m.module, imports)
	if err != nil {
		return nil, nil, in.startFailure(err)
	}
	in.memory = guest.GetExport(in.store, "memory").Memory()
	return front, guest, nil
}

// linkBack instantiates the shim's back and prepares the mailbox.
func (in *Instance) linkBack(v *variant, front, guest *wt.Instance) error {
	imports := []wt.AsExtern{
		guest.GetExport(in.store, "memory"),
		guest.GetExport(in.store, "run"),
		front.GetExport(in.store, "table"),
	}
	for _, name := range v.native {
		imports = append(imports, in.engine.linker.Get(in.store, preview1, name))
	}
	for _, name := range v.host {
		imports = append(imports, in.engine.linker.Get(in.store, hostModule, name))
	}
	in.store.Limiter(max(in.cfg.MemoryLimit, shim.PageSize), maxTableElements, 3, maxTables+1, 2)
	back, err := wt.NewInstance(in.store, v.back, imports)
	if err != nil {
		return fmt.Errorf("the shim: %s", firstLines(err.Error(), 3))
	}
	in.limitMemory(in.cfg.MemoryLimit)
	in.post = back.GetExport(in.store, "mailbox").Memory()
	in.box = view(in.store, in.post)
	in.drive = entryOf(back.GetFunc(in.store, "drive"))
	in.box.setWord(shim.Instance, in.number)
	in.box.setWord(shim.Cursor, shim.NoTask)
	in.box.addDescriptor(1, shim.FDStdout)
	in.box.addDescriptor(2, shim.FDStderr)
	in.box.addDescriptor(0, 0)
	for i, d := range in.cfg.Dirs {
		var flags uint32
		if d.ReadOnly {
			flags = shim.FDReadOnly
		}
		in.box.addDescriptor(uint32(firstDir+i), flags)
	}
	return nil
}

// firstDir is the descriptor of the first directory that is granted.
const firstDir = 3

// limitMemory bounds each memory of the store from now on.
func (in *Instance) limitMemory(most int64) {
	in.store.Limiter(most, maxTableElements, 3, maxTables+1, 2)
}

// initialize calls the guest's _initialize.
func (in *Instance) initialize(guest *wt.Instance) error {
	o := call(in.context, entryOf(guest.GetFunc(in.store, "_initialize")))
	var err error
	if !o.ok() {
		err = in.failure(o)
		o.free()
	}
	if _, flushErr := in.flush(); err == nil {
		err = flushErr
	}
	switch {
	case err == nil || errors.Is(err, ErrInterrupted):
		return err
	}
	return fmt.Errorf("%s: in _initialize: %w", in.module.name, err)
}
