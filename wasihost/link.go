package wasihost

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

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
	in, err := m.instantiate(ctx, mode{traced: cfg.Trace != nil}, cfg, whole)
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
func (m *Module) instantiate(ctx context.Context, md mode, cfg *Config, e extent) (in *Instance, err error) {
	in = &Instance{module: m, engine: m.engine, cfg: cfg.withDefaults()}
	if !m.uses.begin() {
		return in, fmt.Errorf("%s: %w", m.name, ErrClosed)
	}
	defer func() {
		if m.uses.done() {
			m.free()
		}
	}()
	in.limit = limitTicks(in.cfg.TaskTimeout)
	in.output.to = cfg.Output
	in.output.limit = in.cfg.LogLimit
	in.trace.to = cfg.Trace
	if ctx.Err() != nil || m.engine.interrupted.Load() {
		return in, ErrInterrupted
	}
	if err := m.startsWithin(&in.cfg); err != nil {
		return in, err
	}
	if in.plan, err = m.plan(md); err != nil {
		return in, err
	}
	in.store = wt.NewStore(m.engine.engine)
	in.context = unsafe.Pointer(in.store.Context())
	register(in)
	watch(pointer(in.store), in.context, in.number)
	wasi, err := in.cfg.wasi()
	if err != nil {
		return in, fmt.Errorf("%s: %w", m.name, err)
	}
	in.store.SetWasi(wasi)

	in.begin(ctx)
	defer in.end()
	front, guest, err := in.linkGuest()
	if err != nil || e == guestOnly {
		return in, err
	}
	if err := in.linkBack(front, guest); err != nil {
		return in, err
	}
	if m.init && !md.command {
		if err := in.initialize(guest); err != nil {
			return in, err
		}
	}
	in.setMark()
	return in, nil
}

// startsWithin says whether the module's memory and tables are within the limits from
// the start. The library would refuse them too, without a word on which limit it was.
func (m *Module) startsWithin(cfg *Config) error {
	if m.minMemory > cfg.MemoryLimit {
		return &LimitError{Name: m.name, What: MemoryBytes, Need: m.minMemory, Limit: cfg.MemoryLimit}
	}
	for _, least := range m.outline.Tables {
		if least > uint64(cfg.TableLimit) {
			return &LimitError{Name: m.name, What: TableElements, Need: int64(least), Limit: cfg.TableLimit}
		}
	}
	return nil
}

// linkGuest instantiates the shim's front and the guest, which runs the guest's
// start function.
func (in *Instance) linkGuest() (front, guest handle, err error) {
	in.store.Limiter(in.cfg.MemoryLimit, maxTable, 2, maxTables+1, 1) // the front's table is ours
	front, err = in.make(in.plan.shim.front, &sources{}, handle{}, handle{})
	if err != nil {
		return front, guest, err
	}
	in.store.Limiter(in.cfg.MemoryLimit, in.cfg.TableLimit, 2, maxTables+1, 1)
	m := in.module
	guest, o, missing := instantiate(in.context, pointer(m.module), pointer(in.engine.linker), &in.plan.sources, front, handle{})
	if missing > 0 {
		return front, guest, fmt.Errorf("%s: import %d is not there", m.name, missing)
	}
	if !o.ok() {
		defer o.free()
		return front, guest, in.startFailure(o)
	}
	in.memory = export(in.context, guest, "memory")
	return front, guest, nil
}

// make instantiates one half of the shim.
func (in *Instance) make(m *wt.Module, s *sources, front, guest handle) (handle, error) {
	h, o, missing := instantiate(in.context, pointer(m), pointer(in.engine.linker), s, front, guest)
	if missing > 0 {
		return h, fmt.Errorf("%s: the shim: import %d is not there", in.module.name, missing)
	}
	if !o.ok() {
		defer o.free()
		return h, in.cannotMake(o)
	}
	return h, nil
}

// linkBack instantiates the shim's back and prepares the mailbox.
func (in *Instance) linkBack(front, guest handle) error {
	in.limitMemory(in.cfg.MemoryLimit)
	back, err := in.make(in.plan.shim.back, &in.plan.shim.sources, front, guest)
	if err != nil {
		return err
	}
	in.post = export(in.context, back, "mailbox")
	in.box = view(in.context, in.post)
	in.drive = export(in.context, back, "drive")
	in.box.setWord(shim.Instance, in.number)
	in.box.setWord(shim.Cursor, shim.NoTask)
	if in.output.to == nil {
		in.box.setWord(shim.Mute, 1)
	}
	in.box.setWord(shim.Mark, shim.NoMark)
	in.box.addDescriptor(1, shim.FDStdout)
	in.box.addDescriptor(2, shim.FDStderr)
	in.box.setWord(shim.FDLimit, uint32(firstDir+len(in.cfg.Dirs)+in.cfg.MaxOpenFiles))
	if in.plan.command {
		in.start = export(in.context, guest, "_start")
		in.box.addDescriptor(0, shim.FDStdin)
	} else {
		in.box.addDescriptor(0, 0)
	}
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
	in.store.Limiter(most, in.cfg.TableLimit, 3, maxTables+1, 2)
}

// initialize calls the guest's _initialize.
func (in *Instance) initialize(guest handle) error {
	o := call(in.context, export(in.context, guest, "_initialize"))
	var err error
	if !o.ok() {
		err = in.failure(o)
		o.free()
	}
	if _, flushErr := in.flush(); err == nil && flushErr != nil {
		err = in.trapped(flushErr.Error(), outcome{})
	}
	if err == nil || errors.Is(err, ErrInterrupted) {
		return err
	}
	return fmt.Errorf("%s: in _initialize: %w", in.module.name, err)
}
