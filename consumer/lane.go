package consumer

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/consumer/internal/pace"
	"github.com/wasmton/wasmton/processor"
)

// lane is one goroutine with one Processor: the records that it is given run one
// after the other. It is made for its first record and lives as long as its
// partition. All but at and woken belongs to its goroutine.
type lane struct {
	p     *partition
	index int
	woken chan struct{}
	at    int64 // the record that runs, or the first of its batch; -1: none. Guarded by p.mu.

	proc processor.Processor // nil until the first record, and after a panic
	pace pace.Pace

	// These are used again for each batch. What they hold is cleared before the lane
	// rests, so that an idle lane keeps no large value alive.
	recs     []*kgo.Record
	batch    []processor.Record
	outcomes []processor.Outcome
	dirty    int // how much of them may hold something
}

// minBatchMax is the most records of a batch where there are many lanes. The slices
// of a lane are as large as its batches, and 50 partitions of 300 lanes with a
// thousand records each would take gigabytes.
const minBatchMax = 64

func newLane(p *partition, index int) *lane {
	return &lane{p: p, index: index, woken: make(chan struct{}, 1), at: -1}
}

func (l *lane) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// run is the lane's goroutine. Run of the Consumer joins it by c.lanes.
func (l *lane) run() {
	defer l.p.c.lanes.Done()
	defer l.p.laneDone()
	defer l.closeProcessor()
	if !l.waitTurn() {
		return
	}
	for {
		recs := l.p.take(l, min(l.pace.Size(), l.p.c.batchMax))
		if len(recs) == 0 {
			return
		}
		if l.proc == nil && !l.makeProcessor() {
			return
		}
		if !l.process(recs) {
			return
		}
	}
}

// waitTurn waits until those who had the partition before are out of it. It reports
// false if there is no turn any more: the work was cut, or is drained before it
// began.
func (l *lane) waitTurn() bool {
	for _, before := range l.p.before {
		for !isClosed(before) {
			select {
			case <-before:
			case <-l.p.ctx.Done():
				return false
			case <-l.woken:
				if l.p.isDraining() {
					return false
				}
			}
		}
	}
	return true
}

// process runs one batch and settles it. It reports false if the lane is to end.
func (l *lane) process(recs []*kgo.Record) bool {
	l.fill(recs)
	batch, outcomes := l.batch[:len(recs)], l.outcomes[:len(recs)]

	start := time.Now()
	panicked := l.call(batch, outcomes)
	took := time.Since(start)
	l.pace.Ran(len(recs), took)

	return l.settle(recs, batch, outcomes, took, panicked)
}

// call runs the Processor. A panic becomes the failure of the record that it was
// at; a Processor that panicked may be broken, so the next record gets a new one.
func (l *lane) call(batch []processor.Record, outcomes []processor.Outcome) (panicked bool) {
	defer func() {
		if v := recover(); v != nil {
			panicked = true
			at := doneCount(outcomes)
			if at == len(outcomes) {
				at-- // it broke after its work: the last record takes the blame
			}
			outcomes[at] = processor.Outcome{
				Kind: processor.Failed,
				Err:  &processor.PanicError{Value: v, Stack: debug.Stack()},
			}
			l.closeProcessor()
		}
	}()
	l.proc.Process(l.p.ctx, batch, outcomes)
	return false
}

// fill makes the batch of the records.
func (l *lane) fill(recs []*kgo.Record) {
	l.recs = recs
	if cap(l.batch) < len(recs) {
		l.batch = make([]processor.Record, pow2(len(recs)))
		l.outcomes = make([]processor.Outcome, pow2(len(recs)))
	}
	l.batch, l.outcomes = l.batch[:cap(l.batch)], l.outcomes[:cap(l.outcomes)]
	l.dirty = max(l.dirty, len(recs))
	for i, r := range recs {
		b := &l.batch[i]
		b.Topic = r.Topic
		b.Partition = r.Partition
		b.Offset = r.Offset
		b.Key = r.Key
		b.Value = r.Value
		b.Headers = nil
		if len(r.Headers) > 0 {
			b.Headers = headers(r.Headers)
		}
		b.Time = r.Timestamp
		b.Attempt = 1
	}
	clear(l.outcomes[:len(recs)])
}

// headers makes a slice of its own each time, since a Processor may keep it.
func headers(hs []kgo.RecordHeader) []processor.Header {
	out := make([]processor.Header, len(hs))
	for i, h := range hs {
		out[i] = processor.Header{Key: h.Key, Value: h.Value}
	}
	return out
}

// rest is called before the lane waits.
func (l *lane) rest() {
	n := l.dirty
	clear(l.recs[:min(n, cap(l.recs))])
	clear(l.batch[:min(n, cap(l.batch))])
	clear(l.outcomes[:min(n, cap(l.outcomes))])
	l.dirty = 0
}

func (l *lane) makeProcessor() (ok bool) {
	where := processor.Lane{Topic: l.p.c.cfg.Topic, Partition: l.p.id, Index: l.index}
	proc, err := newProcessor(l.p.ctx, l.p.c.cfg.Factory, where)
	if err == nil {
		l.proc = proc
		return true
	}
	if l.p.ctx.Err() == nil { // else the end of the work is the reason
		l.p.c.fail(&FactoryError{Topic: where.Topic, Partition: where.Partition, Lane: where.Index, Err: err})
	}
	return false
}

func newProcessor(ctx context.Context, f processor.Factory, where processor.Lane) (proc processor.Processor, err error) {
	defer func() {
		if v := recover(); v != nil {
			proc, err = nil, &processor.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	proc, err = f.New(ctx, where)
	if err == nil && proc == nil {
		err = errNilProcessor
	}
	return proc, err
}

// closeProcessor closes the lane's Processor if it has one. What goes wrong there
// concerns no record: it is logged.
func (l *lane) closeProcessor() {
	if l.proc == nil {
		return
	}
	proc := l.proc
	l.proc = nil
	defer func() {
		if v := recover(); v != nil {
			l.p.c.log.Error("a processor panicked while it was closed", "partition", l.p.id, "lane", l.index, "panic", v)
		}
	}()
	if err := proc.Close(); err != nil {
		l.p.c.log.Warn("a processor could not be closed", "partition", l.p.id, "lane", l.index, "error", err)
	}
}

func pow2(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}
