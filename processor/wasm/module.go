package wasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/wasihost"
)

// DefaultMaxInstances is the default of Config.MaxInstances.
const DefaultMaxInstances = 2000

// Config configures a Module.
type Config struct {
	// Guest says what each instance may reach and use. Its Output, Trace and
	// MemoryMark are not read: lines go to Config.Output, calls to Config.Trace, and
	// Recycle sets the mark.
	Guest wasihost.Config
	// MaxInstances bounds the live instances of the Module, 1 or more; default
	// 2,000. Each takes about 35 KiB beside what the guest itself touches, and
	// 16 GiB of address space, of which a process has room for some 7,000. With
	// fewer instances than busy lanes, the lanes wait for one another.
	MaxInstances int
	// Recycle says when instances are replaced that nothing is wrong with.
	Recycle Recycle
	// Output gets each line that the guest writes while it runs r, or with r nil
	// while it initialises. It is called from many lanes at once and keeps neither
	// argument. Default: Logger, at level info, with the record's coordinates.
	Output func(r *processor.Record, stream wasihost.Stream, line []byte)
	// Trace is told of each host call that the guest makes while it runs r, or with
	// r nil while it initialises, once the call is over. It is called from many
	// lanes at once and keeps neither argument. Default: none, at no cost.
	Trace func(r *processor.Record, call *wasihost.HostCall)
	// Logger gets the guest's lines, and a warning where Recycle.Memory is so low
	// that instances live for a few tasks; default slog.Default().
	Logger *slog.Logger
	// Metrics, where set, gets the metrics of metrics.go. Two Modules can't share
	// one: wrap it with labels.
	Metrics prometheus.Registerer
}

// Module is a guest as a processor.Factory. It is safe for concurrent use.
type Module struct {
	guest   atomic.Pointer[wasihost.Module]
	cfg     Config
	metrics *metrics
	pool    *pool

	swapping sync.Mutex // held by Swap, from end to end
	closed   bool       // guarded by swapping

	warnSmallBound sync.Once
}

var _ processor.Factory = (*Module)(nil)

// New checks guest and cfg and makes a first instance, to see that the guest can
// start at all; the first lane gets that instance. The Module takes guest over where
// the error is nil: Swap and Close close it.
func New(ctx context.Context, guest *wasihost.Module, cfg Config) (*Module, error) {
	if cfg.MaxInstances == 0 {
		cfg.MaxInstances = DefaultMaxInstances
	}
	if cfg.MaxInstances < 0 {
		return nil, fmt.Errorf("MaxInstances is %d; it must be 1 or more", cfg.MaxInstances)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Output == nil {
		cfg.Output = logLines(cfg.Logger)
	}
	if err := errors.Join(cfg.Recycle.check(), cfg.Guest.Check()); err != nil {
		return nil, err
	}
	cfg.Guest.MemoryMark = cfg.Recycle.mark(cfg.Guest.MemoryLimit)
	m := &Module{cfg: cfg}
	m.guest.Store(guest)
	m.pool = newPool(cfg.MaxInstances, m.instantiate)
	var err error
	if m.metrics, err = newMetrics(cfg.Metrics, m); err != nil {
		return nil, err
	}
	in, err := m.firstInstance(ctx, guest)
	if err != nil {
		m.metrics.unregister()
		return nil, err
	}
	m.pool.change(in)
	return m, nil
}

// New makes the Processor of a lane. It never fails: the lane's instance is made
// when its first record comes.
func (m *Module) New(context.Context, processor.Lane) (processor.Processor, error) {
	l := &lane{module: m}
	m.pool.join(l)
	return l, nil
}

// Close frees what no lane holds, the guest, and takes the metrics out of their
// registry. Every Processor must have been closed.
func (m *Module) Close() {
	m.swapping.Lock()
	defer m.swapping.Unlock()
	m.closed = true
	defer func() { m.guest.Load().Close() }()
	m.pool.close()
	m.metrics.unregister()
}

// instantiate makes one more instance of the guest at work.
func (m *Module) instantiate(ctx context.Context) (*instance, error) {
	for {
		guest := m.guest.Load()
		in, err := m.instanceOf(ctx, guest)
		if errors.Is(err, wasihost.ErrClosed) && guest != m.guest.Load() {
			continue // a Swap came between
		}
		return in, err
	}
}

func (m *Module) instanceOf(ctx context.Context, guest *wasihost.Module) (*instance, error) {
	in := &instance{module: m, guest: guest}
	cfg := m.cfg.Guest
	cfg.Output = in.line
	if trace := m.cfg.Trace; trace != nil {
		cfg.Trace = func(c *wasihost.HostCall) { trace(in.record(c.Task), c) }
	}
	var err error
	if in.Instance, err = guest.Instantiate(ctx, &cfg); err != nil {
		return nil, err
	}
	in.born = time.Now()
	m.metrics.started.Inc()
	return in, nil
}

// instance is a guest instance and the batch that it is at.
type instance struct {
	*wasihost.Instance
	module *Module
	guest  *wasihost.Module
	born   time.Time
	tasks  int64 // run so far
	// batch is what task indexes refer to; nil between batches. Only the lane
	// that holds the instance touches it, and line is called on its goroutine.
	batch []processor.Record
}

func (in *instance) line(task int, stream wasihost.Stream, line []byte) {
	in.module.metrics.line(stream)
	in.module.cfg.Output(in.record(task), stream, line)
}

// record is the one that a task is, nil where none runs.
func (in *instance) record(task int) *processor.Record {
	if task < 0 || task >= len(in.batch) {
		return nil
	}
	return &in.batch[task]
}

func logLines(logger *slog.Logger) func(*processor.Record, wasihost.Stream, []byte) {
	return func(r *processor.Record, stream wasihost.Stream, line []byte) {
		if r == nil {
			logger.Info(string(line), "stream", stream.String())
			return
		}
		logger.Info(string(line), "stream", stream.String(),
			"topic", r.Topic, "partition", r.Partition, "offset", r.Offset)
	}
}
