package consumer

import (
	"bytes"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/processor"
)

var (
	errNilProcessor = errors.New("the factory returned neither a processor nor an error")
	errNothingRun   = errors.New("the processor returned without running the record: " +
		"it must try at least the first record of a batch")
	errIdleInterrupt = errors.New("the processor says that it was interrupted, but nothing interrupted it")
)

// settle decides what follows the outcomes of a batch: this is the one place where
// policy meets records. It reports false if the lane is to end.
//
// What is Done is settled. The first that is not Done stops its key; what comes
// behind it in the batch was not run, stays with the scheduler, and is given to the
// lane again, in order. So a policy has only to say whether the failed record is
// settled now (Skip) or never (Stop); one that holds a key back meanwhile has its
// place here, too.
func (l *lane) settle(recs []*kgo.Record, batch []processor.Record, outcomes []processor.Outcome, took time.Duration, panicked bool) bool {
	c, p := l.p.c, l.p
	done := doneCount(outcomes)
	each := took / time.Duration(len(recs)) // a batch is observed as so many equal records
	if done > 0 {
		l.observe(batch[:done], outcomes[:done], each)
		p.counts.ran(done, each)
		p.counts.done.Add(int64(done))
	}
	if done == len(recs) {
		p.settled(l, recs)
		return true
	}

	// recs[done] is what stopped the batch.
	o := outcomes[done]
	switch {
	case o.Kind == processor.NotRun && done > 0:
		// It stopped early of its own accord.
		p.settled(l, recs[:done])
		return true
	case p.ctx.Err() != nil && !panicked:
		// The work was cut. Whatever the Processor calls it, that is no failure.
		o.Kind = processor.Interrupted
		p.counts.interrupted.Add(1)
		l.observe(batch[done:done+1], []processor.Outcome{o}, each)
		p.settled(l, recs[:done])
		return false
	case o.Kind == processor.NotRun:
		o = processor.Outcome{Kind: processor.Failed, Err: errNothingRun}
	case o.Kind == processor.Interrupted:
		o = processor.Outcome{Kind: processor.Failed, Err: errIdleInterrupt}
	case o.Kind == processor.Failed && o.Err == nil:
		o.Err = errors.New("the processor gave no reason")
	case o.Kind != processor.Failed:
		o = processor.Outcome{Kind: processor.Failed, Err: errors.New("the processor gave an unknown outcome: " + o.Kind.String())}
	}

	p.counts.ran(1, each)
	p.counts.failed.Add(1)
	l.observe(batch[done:done+1], []processor.Outcome{o}, each)
	r := &batch[done]
	failure := &RecordError{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: bytes.Clone(r.Key), Err: o.Err}
	switch c.cfg.OnFailure {
	case Skip:
		attrs := []any{"topic", r.Topic, "partition", r.Partition, "offset", r.Offset}
		if r.Key != nil {
			attrs = append(attrs, "key_hash", failure.KeyHash())
		}
		c.log.Error("a record failed and is skipped", append(attrs, "error", o.Err)...)
		p.settled(l, recs[:done+1])
		return true
	default: // Stop
		p.settled(l, recs[:done])
		c.fail(failure)
		return false
	}
}

// observe tells the observer, if there is one.
func (l *lane) observe(batch []processor.Record, outcomes []processor.Outcome, each time.Duration) {
	if observe := l.p.c.cfg.Observe; observe != nil {
		for i := range batch {
			observe(&batch[i], outcomes[i], each)
		}
	}
}

// doneCount returns how many records at the front are Done.
func doneCount(outcomes []processor.Outcome) int {
	for i := range outcomes {
		if outcomes[i].Kind != processor.Done {
			return i
		}
	}
	return len(outcomes)
}
