package wasm

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/wasmton/wasmton/wasihost"
)

// Recycle says when a lane's instance is replaced by a new one, always between two
// tasks. Whatever the guest kept in its memory is gone then. The zero value replaces
// instances that have grown to three quarters of their memory limit, and no others.
//
// A guest that leaks memory needs it: its memory never shrinks, and at the limit the
// task that happens to come next would fail.
type Recycle struct {
	// Memory is the number of bytes of linear memory above which an instance is
	// replaced. 0 means three quarters of Guest.MemoryLimit, unless the guest has more
	// than that when it starts; -1 means never. A bound of one's own must not be less
	// than what the guest starts with. One that is a little above it costs an instance
	// for nearly every task.
	Memory int64
	// Tasks is the number of tasks after which an instance is replaced, 1 or more.
	// 0 means never. 1 gives each task memory that no other has touched.
	Tasks int64
	// After is the age at which an instance is replaced, when the first batch comes
	// after it: an idle one is left alone. 0 means never.
	After time.Duration
}

func (r *Recycle) check() error {
	var errs []error
	if r.Memory < -1 {
		errs = append(errs, fmt.Errorf("Recycle.Memory is %d; it must be -1 for never, 0 for the default, or a number of bytes", r.Memory))
	}
	if r.Tasks < 0 {
		errs = append(errs, fmt.Errorf("Recycle.Tasks is %d; it must be 0 for never, or more", r.Tasks))
	}
	if r.After < 0 {
		errs = append(errs, fmt.Errorf("Recycle.After is %v; it must be 0 for never, or more", r.After))
	}
	return errors.Join(errs...)
}

// mark is the bound in the form of wasihost.Config.MemoryMark. limit is the memory
// limit, 0 for its default.
func (r *Recycle) mark(limit int64) int64 {
	switch {
	case r.Memory > 0:
		return r.Memory
	case r.Memory < 0:
		return 0
	case limit == 0:
		limit = wasihost.DefaultMemoryLimit
	}
	return limit / 4 * 3
}

// admits says whether the guest may start with this much memory.
func (r *Recycle) admits(name string, use int64) error {
	if r.Memory <= 0 || use <= r.Memory {
		return nil
	}
	return fmt.Errorf("%s has %d bytes of memory when it starts, and an instance is to be replaced above %d: "+
		"each task would cost an instance (--recycle-memory sets the bound)", name, use, r.Memory)
}

// A reason says why an instance is replaced though nothing is wrong with it. It is
// the label of a metric.
type reason string

const (
	notDue    reason = ""
	forMemory reason = "memory"
	forTasks  reason = "tasks"
	forAge    reason = "age"
	forReload reason = "reload"
)

// due says whether the instance is to be replaced before its next task. One that has
// run nothing is not, but for another module: it always gets to a task.
func (in *instance) due() reason {
	r := &in.module.cfg.Recycle
	switch {
	case in.stale():
		return forReload
	case in.Outgrown():
		return forMemory
	case r.Tasks > 0 && in.tasks >= r.Tasks:
		return forTasks
	case r.After > 0 && in.tasks > 0 && time.Since(in.born) >= r.After:
		return forAge
	}
	return notDue
}

// left is the number of tasks that the instance may still run, 1 or more.
func (in *instance) left() int64 {
	if r := &in.module.cfg.Recycle; r.Tasks > 0 {
		return r.Tasks - in.tasks
	}
	return math.MaxInt64
}

// fewTasks is below which it is worth a word that an instance got so few tasks done.
const fewTasks = 10

// recycled notes that the instance is replaced.
func (in *instance) recycled(why reason) {
	m := in.module
	m.metrics.recycled(why)
	if why == forMemory && in.tasks < fewTasks {
		m.warnSmallBound.Do(func() {
			m.cfg.Logger.Warn("an instance had grown past its bound after a few tasks and was replaced; "+
				"where that is what tasks need, raise --recycle-memory or --memory-limit (this is said once; see wasmton_guest_recycled_total)",
				"tasks", in.tasks, "memory_bytes", in.MemoryUse(), "bound_bytes", m.cfg.Guest.MemoryMark)
		})
	}
}
