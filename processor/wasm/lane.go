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

	if err := l.ensureInstance(ctx); err != nil {
		outcomes[0] = startFailure(ctx, err)
		return
	}
	in := l.instance
	for i := range batch {
		l.tasks = append(l.tasks, batch[i].Value)
	}
	in.batch = batch
	n, err := in.Drive(ctx, l.tasks)
	in.batch = nil
	clear(l.tasks) // an idle lane pins no values
	l.tasks = l.tasks[:0]

	for i := range n {
		outcomes[i].Kind = processor.Done
	}
	if err != nil {
		outcomes[n] = l.module.outcome(err)
	}
	if !in.Alive() {
		l.instance = nil
		l.module.pool.discard(in)
	}
}

func (l *lane) ensureInstance(ctx context.Context) error {
	if l.instance != nil {
		return nil
	}
	var err error
	l.instance, err = l.module.pool.get(ctx)
	return err
}

// release ends a batch: first the lane becomes idle, then it looks whether anyone
// waits for an instance; the other order could miss one (pool.waiting).
func (l *lane) release() {
	l.busy.Unlock()
	l.module.pool.offer(l)
}

// steal takes the lane's instance away if the lane idles. It never blocks, so it
// may be called with the pool's lock held, which a busy lane may be waiting for.
func (l *lane) steal() *instance {
	if !l.busy.TryLock() {
		return nil
	}
	defer l.busy.Unlock()
	in := l.instance
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
