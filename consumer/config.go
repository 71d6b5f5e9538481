package consumer

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/processor"
)

// Config is all that a Consumer needs to know.
type Config struct {
	Brokers []string // host:port each; at least one
	Topic   string
	Group   string
	// Factory makes the Processors, one a lane.
	Factory processor.Factory
	// Concurrency is the number of lanes a partition, 1 or more; default 1.
	Concurrency int
	// From says where the group starts in partitions without a committed offset.
	From From
	// OnFailure says what follows a failed record.
	OnFailure OnFailure
	// DrainTimeout bounds how long a revoke or a stop waits for running records.
	// Default 20 s.
	DrainTimeout time.Duration
	// CommitInterval is the time between commits. Default 1 s.
	CommitInterval time.Duration
	// MaxPendingRecords and MaxPendingBytes bound the unfinished records of a
	// partition. Defaults 100,000 and 64 MiB.
	MaxPendingRecords int
	MaxPendingBytes   int64
	// UntilEnd makes Run return nil when every record up to the end offsets at its
	// start has been settled and committed, by this member or another.
	UntilEnd bool
	// ConnectTimeout bounds the first contact with the brokers. Default 15 s.
	ConnectTimeout time.Duration
	// ClientOptions are handed to the Kafka client after our own. Not allowed are
	// those that the consumer rests on.
	ClientOptions []kgo.Opt
	// Observe, where set, is called by the lane for each record when its outcome is known
	// and before it is settled. It must not keep its arguments.
	Observe func(r *processor.Record, o processor.Outcome, took time.Duration)
	Logger  *slog.Logger          // default slog.Default()
	Metrics prometheus.Registerer // default none
}

// From is where a group starts that has no committed offset.
type From uint8

const (
	Earliest From = iota
	// Latest applies to the group's first start only: partitions added later, and
	// offsets out of range, begin at the earliest record, so that nothing is lost.
	Latest
)

// OnFailure is what follows a failed record.
type OnFailure uint8

const (
	// Stop ends Run with a *RecordError; nothing is committed past the record.
	Stop OnFailure = iota
	// Skip logs, counts and goes on.
	Skip
)
