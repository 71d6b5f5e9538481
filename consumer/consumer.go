package consumer

import (
	"context"
	"time"
)

// Consumer is one member of a consumer group.
type Consumer struct{}

// New checks cfg and makes the consumer; it contacts nobody. The error lists every
// contradiction in cfg.
func New(cfg Config) (*Consumer, error) { panic("skeleton") }

// Run joins the group and processes records until ctx ends, a failure stops it,
// or the end is reached (UntilEnd). When ctx ends it stops fetching, lets what
// runs finish within DrainTimeout, commits, leaves the group, and returns nil.
//
// Errors: *ConnectError, *TopicError, *RecordError, *DrainError (still running at
// the deadline), and others of the client.
func (c *Consumer) Run(ctx context.Context) error { panic("skeleton") }

// Stats returns counts since Run began. It is safe for concurrent use.
func (c *Consumer) Stats() Stats { panic("skeleton") }

// Stats counts records.
type Stats struct {
	Processed int64 // settled as done
	Failed    int64 // failed and skipped, or failed and stopped
	Lag       int64 // records of our partitions between their watermark and the broker's end; -1 until known
	Elapsed   time.Duration
	Assigned  int // partitions that are ours now
}
