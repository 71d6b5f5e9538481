package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/processor"
)

// Config is all that a Consumer needs to know. Brokers, Topic, Group and Factory
// must be set; the zero value of everything else is a good choice.
type Config struct {
	// Brokers are where to ask for the cluster, host:port each; at least one.
	Brokers []string
	Topic   string
	Group   string

	// Factory makes the Processors, one a lane.
	Factory processor.Factory

	// Concurrency is the number of lanes a partition, 1 to 10,000; default 1, which
	// keeps the order of the whole partition. With more, records that share a key
	// stay in order and records without a key are spread. Raise it when processing
	// waits for something (metric: pending records at their bound while the CPU is
	// idle); a lane in use costs a goroutine and a Processor.
	Concurrency int

	// From says where the group starts in partitions without a committed offset.
	From From

	// OnFailure says what follows a failed record.
	OnFailure OnFailure

	// DrainTimeout bounds how long a revoke or a stop waits for running records;
	// default 20 s. Too short, and work is cut and done again by the next owner; too
	// long, and a stuck record delays a rebalance of the whole group. It must not be
	// longer than [MaxDrainTimeout].
	DrainTimeout time.Duration

	// CommitInterval is the time between commits; default 1 s. It bounds what is
	// processed again after a crash.
	CommitInterval time.Duration

	// MaxPendingRecords and MaxPendingBytes bound the unfinished records of a
	// partition; defaults 100,000 and 64 MiB. A partition that is at its bound is not
	// fetched until it is at half of it. What is on its way at that moment still
	// arrives, so memory may go beyond by about a fetch. Too small, and lanes run dry
	// between fetches. A single record beyond the bytes is taken nevertheless.
	MaxPendingRecords int
	MaxPendingBytes   int64

	// UntilEnd makes Run return nil when every record up to the end offsets at its
	// start has been settled and committed, by this member or another.
	UntilEnd bool

	// ConnectTimeout bounds the first contact with the brokers; default 15 s.
	ConnectTimeout time.Duration

	// ClientOptions are handed to the Kafka client: TLS, SASL, client ids, balancers,
	// time-outs, fetch sizes, hooks. Those that the consumer rests on (brokers, group,
	// topics, where to start, commits, callbacks) are its own: setting them is refused
	// by New or Run, or has no effect.
	ClientOptions []kgo.Opt

	// Started, where set, is called once by Run, when the brokers were reached and
	// before the group is joined.
	Started func(StartInfo)

	// OtherMembers, where set, is called by Run once after the first assignment if
	// the group has other members, so that a caller can warn of one that should not
	// be there. Those that were there before are in StartInfo.
	OtherMembers func([]Member)

	// Observe, where set, is called by the lane for each record when its outcome is
	// known and before it is settled. Several lanes call it at once. It must not keep
	// its arguments. Where it is set a batch has one record, so that took is that
	// record's own time: for tracing, not for speed.
	Observe func(r *processor.Record, o processor.Outcome, took time.Duration)

	// Logger gets what a person may have to act on; default slog.Default().
	Logger *slog.Logger

	// Metrics is where the consumer registers its metrics; default none.
	Metrics Registerer
}

// MaxDrainTimeout is the longest [Config.DrainTimeout].
const MaxDrainTimeout = time.Hour

// From is where a group starts that has no committed offset.
type From uint8

const (
	// Earliest starts at the first record that the broker still has.
	Earliest From = iota
	// Latest applies to the group's first start only: partitions added later, and
	// offsets out of range, begin at the earliest record, so that nothing is lost.
	Latest
)

// String returns "earliest" or "latest".
func (f From) String() string {
	switch f {
	case Earliest:
		return "earliest"
	case Latest:
		return "latest"
	}
	return fmt.Sprintf("From(%d)", uint8(f))
}

// OnFailure is what follows a failed record.
type OnFailure uint8

const (
	// Stop ends Run with a *RecordError. Nothing is committed past the record, so
	// the next start begins with it.
	Stop OnFailure = iota
	// Skip logs, counts and goes on.
	Skip
)

// String returns "stop" or "skip".
func (f OnFailure) String() string {
	switch f {
	case Stop:
		return "stop"
	case Skip:
		return "skip"
	}
	return fmt.Sprintf("OnFailure(%d)", uint8(f))
}

// EnsureDefaults fills fields that are zero with their defaults.
func (c *Config) EnsureDefaults() {
	def(&c.Concurrency, 1)
	def(&c.DrainTimeout, 20*time.Second)
	def(&c.CommitInterval, time.Second)
	def(&c.MaxPendingRecords, 100_000)
	def(&c.MaxPendingBytes, 64<<20)
	def(&c.ConnectTimeout, 15*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every contradiction at once. It contacts nobody.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if len(c.Brokers) == 0 {
		bad("Brokers is empty: name at least one host:port")
	}
	for _, b := range c.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			bad("Brokers has %q, which is not host:port", b)
		}
	}
	if err := topicName(c.Topic); err != nil {
		errs = append(errs, err)
	}
	if c.Group == "" {
		bad("Group is empty")
	}
	if c.Factory == nil {
		bad("Factory is nil: who processes the records?")
	}
	if c.Concurrency < 1 || c.Concurrency > maxLanes {
		bad("Concurrency is %d, not 1 to %d", c.Concurrency, maxLanes)
	}
	if c.From > Latest {
		bad("From is %v, not Earliest or Latest", c.From)
	}
	if c.OnFailure > Skip {
		bad("OnFailure is %v, not Stop or Skip", c.OnFailure)
	}
	if c.DrainTimeout < 0 || c.DrainTimeout > MaxDrainTimeout {
		bad("DrainTimeout is %v, not 0 to %v", c.DrainTimeout, MaxDrainTimeout)
	}
	if c.CommitInterval < 10*time.Millisecond {
		bad("CommitInterval is %v, less than 10ms", c.CommitInterval)
	}
	if c.MaxPendingRecords < 1 {
		bad("MaxPendingRecords is %d, less than 1", c.MaxPendingRecords)
	}
	if c.MaxPendingBytes < 1 {
		bad("MaxPendingBytes is %d, less than 1", c.MaxPendingBytes)
	}
	if c.ConnectTimeout < 0 {
		bad("ConnectTimeout is %v, less than 0", c.ConnectTimeout)
	}
	if len(c.Brokers) > 0 { // kgo can't judge options without
		errs = append(errs, checkClientOptions(c.Brokers, c.ClientOptions)...)
	}
	return errors.Join(errs...)
}

const maxLanes = 10_000

// topicName applies Kafka's own rule, so that a typing error is told before a
// broker is asked.
func topicName(topic string) error {
	switch {
	case topic == "":
		return errors.New("Topic is empty")
	case topic == "." || topic == "..":
		return fmt.Errorf("Topic is %q, which Kafka does not allow", topic)
	case len(topic) > 249:
		return fmt.Errorf("Topic has %d characters, and Kafka allows 249", len(topic))
	}
	bad := strings.IndexFunc(topic, func(r rune) bool {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return false
		}
		return true
	})
	if bad >= 0 {
		return fmt.Errorf("Topic is %q: Kafka allows letters, digits, '.', '_' and '-' only", topic)
	}
	return nil
}

// StartInfo is what a consumer found when it reached the brokers.
type StartInfo struct {
	Group string
	Topic string
	// Partitions is the number of the topic's partitions.
	Partitions int
	// Committed has the group's committed offset of each partition that has one. It
	// is as it was found, before this member committed anything.
	Committed map[int32]int64
	// From is where partitions without a committed offset start: what was asked, or
	// Earliest where Latest did not apply.
	From From
	// FromIgnored says why From of the Config does not apply to all partitions, or is
	// empty: it concerns the first start of a group only.
	FromIgnored string
	// Members are those that were in the group before us.
	Members []Member
}

// Member is another member of the group.
type Member struct {
	ID       string // the coordinator's name for it
	ClientID string // the client.id that it gave
	Host     string // where it connects from
}
