package processor

import "context"

// Processor processes the records of one lane. It is not safe for concurrent
// use, and need not be: a lane calls it from one goroutine at a time.
type Processor interface {
	// Process runs batch[0], batch[1], … in that order and writes what became of
	// batch[i] to outcomes[i]. Both have the same length, at least 1, and every
	// outcome is NotRun at the start.
	//
	// Process stops after the first record that is not Done and leaves the rest
	// NotRun: a failure stops its key, and only the consumer knows which of the
	// rest may still run. It calls Process again with those. Process may also
	// stop early for reasons of its own, but must have tried at least batch[0]: a
	// call that leaves all records NotRun counts as a failure of batch[0].
	//
	// When ctx ends, Process returns soon, and marks the record it was at as
	// Interrupted. context.Cause tells why. A Processor that can't stop in time
	// is abandoned: its result is ignored and Close is called when it returns.
	//
	// Neither slice may be kept after Process has returned.
	Process(ctx context.Context, batch []Record, outcomes []Outcome)

	// Close frees what the Processor holds. It is called once, after the last
	// Process has returned.
	Close() error
}

// Factory makes Processors. It is safe for concurrent use.
type Factory interface {
	// New makes the Processor of one lane. It is called when the lane gets its
	// first record, not before, and again if it failed and the consumer went on.
	// An error here is not a record's failure: it stops the consumer.
	New(ctx context.Context, lane Lane) (Processor, error)
}

// Lane names the lane that a Processor is made for.
type Lane struct {
	Topic     string
	Partition int32
	// Index is the lane's number within its partition, from 0.
	Index int
}
