package wasm

import (
	"context"
	"errors"
	"sync"

	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/wasihost"
)

// lane is the Processor of one lane.
type lane struct {
	module *Module
	// busy is held while Process runs. It guards instance: whoever gets it while
	// the lane idles may take the instance away (pool.steal).
	busy     sync.Mutex
	instance *instance // nil before the first batch, after a trap, and when taken away
	index    int       // place in pool.lanes; guarded by pool.mu

	tasks [][]byte // reused from batch to batch; only Process touches it
}

// Process runs the batch in the lane's instance, as few crossings as it takes.
func (l *lane) Process(ctx context.Context, batch []processor.Record, outcomes []processor.Outcome) {
	l.busy.Lock()
	defer l.release()
	for i := range batch {
		l.tasks = append(l.tasks, batch[i].Value)
	}
	l.run(ctx, batch, outcomes)
	clear(l.tasks) // an idle lane pins no values
	l.tasks = l.tasks[:0]
}

// run runs l.tasks, which are those of the batch. It takes more than one instance
// where one is due to be replaced on the way.
func (l *lane) run(ctx context.Context, batch []processor.Record, outcomes []processor.Outcome) {
	for n := 0; n < len(batch); {
		in, err := l.ready(ctx)
		if err != nil {
			outcomes[n] = startFailure(ctx, err)
			return
		}
		end := n + int(min(int64(len(batch)-n), in.left()))
		in.batch = batch[n:end]
		done, err := in.Drive(ctx, l.tasks[n:end])
		in.batch = nil
		in.tasks += int64(done)
		for i := range done {
			outcomes[n+i].Kind = processor.Done
		}
		n += done
		if err == nil || errors.Is(err, wasihost.ErrOutgrown) {
			continue
		}
		in.tasks++
		outcomes[n] = l.module.outcome(err)
		if !in.Alive() {
			l.instance = nil
			l.module.pool.discard(in)
		}
		return
	}
}

// ready returns the lane's instance, which is made or replaced where need be.
func (l *lane) ready(ctx context.Context) (*instance, error) {
	for {
		var err error
		if in := l.instance; in == nil {
			l.instance, err = l.module.pool.get(ctx)
		} else if why := in.due(); why == notDue {
			return in, nil
		} else {
			in.recycled(why)
			l.instance = nil
			l.instance, err = l.module.pool.renew(ctx, in)
		}
		if err != nil {
			return nil, err
		}
	}
}

// release ends a batch: first the lane becomes idle, then it looks whether anyone
// waits for an instance; the other order could miss one (pool.waiting). The same
// goes for a change of the guest: pool.change sees an idle lane, or the lane sees
// the change.
func (l *lane) release() {
	guest := l.module.guest.Load()
	if l.instance != nil {
		guest = l.instance.guest
	}
	l.busy.Unlock()
	l.module.pool.offer(l)
	if guest == l.module.guest.Load() {
		return
	}
	if in := l.stealIf((*instance).stale); in != nil {
		in.recycled(forReload)
		l.module.pool.discard(in)
	}
}

// steal takes the lane's instance away if the lane idles. It never blocks, so it
// may be called with the pool's lock held, which a busy lane may be waiting for.
func (l *lane) steal() *instance {
	return l.stealIf(func(*instance) bool { return true })
}

func (l *lane) stealIf(wanted func(*instance) bool) *instance {
	if !l.busy.TryLock() {
		return nil
	}
	defer l.busy.Unlock()
	in := l.instance
	if in == nil || !wanted(in) {
		return nil
	}
	l.instance = nil
	return in
}

// Close frees the lane's instance.
func (l *lane) Close() error {
	l.busy.Lock()
	defer l.busy.Unlock()
	l.module.pool.leave(l)
	if l.instance != nil {
		l.module.pool.discard(l.instance)
		l.instance = nil
	}
	return nil
}

// outcome says what a Drive's error means for its task.
func (m *Module) outcome(err error) processor.Outcome {
	if errors.Is(err, wasihost.ErrInterrupted) {
		return processor.Outcome{Kind: processor.Interrupted, Err: err}
	}
	m.metrics.failed(err)
	return processor.Outcome{Kind: processor.Failed, Err: err}
}

// startFailure is the outcome of the record for which no instance could be had.
func startFailure(ctx context.Context, err error) processor.Outcome {
	if ctx.Err() != nil || errors.Is(err, wasihost.ErrInterrupted) {
		return processor.Outcome{Kind: processor.Interrupted, Err: err}
	}
	return processor.Outcome{Kind: processor.Failed, Err: &processor.UnusableError{Err: err}}
}
