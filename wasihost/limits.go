package wasihost

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// tick is the resolution of all time limits.
const tick = 10 * time.Millisecond

const (
	// parkTicks is how often the clock looks whether it may rest.
	parkTicks = 100
	// graceTicks is how long a task may go on after its context has ended: a short
	// one gets to its end, and its instance lives.
	graceTicks = 5
	// slackTicks makes a limit never shorter than it says: the tick under way when a
	// task begins is not a whole one.
	slackTicks = 1
)

// maxTables bounds the tables of a guest, whatever the configuration says: MemoryLimit
// does not count what they take.
const maxTables = 8

// clock counts ticks for an engine while any of its guests runs, and rests when
// none does. Each tick ends an epoch, at which the library calls back into each
// running guest's instance, on that guest's own goroutine.
type clock struct {
	ticks   atomic.Uint64
	parked  atomic.Bool
	wakeup  chan struct{} // has room for one
	closing chan struct{}
	done    sync.WaitGroup
}

func newClock() *clock {
	return &clock{wakeup: make(chan struct{}, 1), closing: make(chan struct{})}
}

// start begins to count. advance is called at each tick, and running says whether
// any guest runs.
func (c *clock) start(advance func(), running func() bool) {
	c.done.Go(func() { c.run(advance, running) })
}

// stop ends the count and waits for that.
func (c *clock) stop() {
	close(c.closing)
	c.done.Wait()
}

func (c *clock) run(advance func(), running func() bool) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-c.closing:
			return
		case <-t.C:
		}
		c.tick(advance)
		if n%parkTicks != 0 || running() {
			continue
		}
		// A guest that starts now either sees parked, and wakes us, or is seen by
		// the second look.
		c.parked.Store(true)
		if running() && c.parked.CompareAndSwap(true, false) {
			continue
		}
		t.Stop()
		select {
		case <-c.closing:
			return
		case <-c.wakeup:
		}
		t.Reset(tick)
	}
}

// tick counts first: whoever is called back because the epoch has ended sees the
// new count.
func (c *clock) tick(advance func()) {
	c.ticks.Add(1)
	advance()
}

// wake is called by whoever starts a guest, after it can be seen to run.
func (c *clock) wake() {
	if c.parked.Load() && c.parked.CompareAndSwap(true, false) {
		c.wakeup <- struct{}{}
	}
}

// limitTicks is a time limit in ticks, never shorter than the limit.
func limitTicks(limit time.Duration) uint64 {
	return uint64((limit+tick-1)/tick) + slackTicks
}

// begin makes the instance one that runs, until end.
func (in *Instance) begin(ctx context.Context) {
	in.ctx = ctx
	in.stop = nil
	in.cutAt = 0
	in.ticked = -1
	in.deadline = in.engine.clock.ticks.Load() + in.limit
	in.running.Store(true)
	in.engine.clock.wake()
}

func (in *Instance) end() {
	in.running.Store(false)
	in.ctx = nil
}

// epochEnded is called, on the goroutine that drives the instance, when a tick has
// passed while the guest runs. It makes the crossing end after the task that runs,
// and reports whether the guest is to be stopped at once.
//
// The deadline is that of the crossing. It is the task's own since the shim begins
// a task only in the tick in which the crossing began: one that has come up to the
// end of a tick is the last of its crossing, and the next one gets a new deadline.
//
// The first tick of a task stops nothing, for it may not be the task's: when time
// has passed in the host at the very end of one, the library notices on the way to
// the next, which has not begun.
func (in *Instance) epochEnded() bool {
	err := in.cut()
	if in.box != nil {
		in.box.yield()
		if cursor := in.box.cursor(); cursor != in.ticked {
			in.ticked = cursor
			return false
		}
	}
	in.stop = err
	return err != nil
}

// cut says whether the guest must stop where it is, and why.
func (in *Instance) cut() error {
	now := in.engine.clock.ticks.Load()
	switch {
	case in.engine.interrupted.Load():
		return ErrInterrupted
	case now >= in.deadline:
		return in.late()
	case in.ctx.Err() == nil:
		return nil
	case in.cutAt == 0:
		in.cutAt = now + graceTicks
	case now >= in.cutAt:
		return ErrInterrupted
	}
	return nil
}

// late is the error of a guest whose time is up.
func (in *Instance) late() *TimeoutError {
	return &TimeoutError{Limit: in.cfg.TaskTimeout, command: in.plan.command}
}
