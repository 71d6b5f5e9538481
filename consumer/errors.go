package consumer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// These say why the context of a Process call ended: context.Cause returns one of
// them.
var (
	// ErrStopping: Run is ending, and the drain timeout is over.
	ErrStopping = errors.New("the consumer is stopping")
	// ErrRevoked: the partition goes to another member, and the drain timeout is over.
	ErrRevoked = errors.New("the partition was revoked")
	// ErrLost: the group gave the partition away without asking; another member may
	// be processing it already.
	ErrLost = errors.New("the partition was lost")
)

// These say what is wrong with a topic; a *TopicError wraps one of them, or the
// broker's error.
var (
	ErrTopicMissing      = errors.New("the topic does not exist")
	ErrTopicUnauthorized = errors.New("no permission to read the topic")
)

// ConnectError says that no broker could be reached at the start.
type ConnectError struct {
	Brokers []string
	// Reason says for people what happened: "connection refused", "time-out", …
	Reason string
	Err    error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("can't reach Kafka at %s: %s", strings.Join(e.Brokers, ","), e.Reason)
}

func (e *ConnectError) Unwrap() error { return e.Err }

// TopicError says that the topic can't be consumed.
type TopicError struct {
	Topic  string
	Reason string // for people
	Err    error  // ErrTopicMissing, ErrTopicUnauthorized, or the broker's
}

func (e *TopicError) Error() string { return fmt.Sprintf("topic %q: %s", e.Topic, e.Reason) }

func (e *TopicError) Unwrap() error { return e.Err }

// GroupError says that the consumer can't be a member of its group.
type GroupError struct {
	Group  string
	Reason string // for people
	Err    error  // the broker's
}

func (e *GroupError) Error() string { return fmt.Sprintf("group %q: %s", e.Group, e.Reason) }

func (e *GroupError) Unwrap() error { return e.Err }

// RecordError is a failed record that stopped the consumer. Its offset was not
// committed: the next start begins with it.
type RecordError struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte // nil if the record has none
	Err       error  // the Processor's
}

func (e *RecordError) Error() string {
	key := ""
	if e.Key != nil {
		key = " (key " + e.KeyHash() + ")"
	}
	return fmt.Sprintf("%s/%d@%d failed%s: %v", e.Topic, e.Partition, e.Offset, key, e.Err)
}

// KeyHash tells records of one key from others, in messages and logs, where the key
// itself may be nobody's business: "sha256:" and the first 16 hexadecimal digits of
// its SHA-256, as sha256sum gives them; "" for a record without a key.
func (e *RecordError) KeyHash() string {
	if e.Key == nil {
		return ""
	}
	sum := sha256.Sum256(e.Key)
	return "sha256:" + hex.EncodeToString(sum[:8])
}

func (e *RecordError) Unwrap() error { return e.Err }

// FactoryError says that a Processor could not be made.
type FactoryError struct {
	Topic     string
	Partition int32
	Lane      int
	Err       error
}

func (e *FactoryError) Error() string {
	return fmt.Sprintf("no processor for %s/%d lane %d: %v", e.Topic, e.Partition, e.Lane, e.Err)
}

func (e *FactoryError) Unwrap() error { return e.Err }

// CommitError says that offsets could not be committed when it counted: at the end
// of Run. Their records will be processed again.
type CommitError struct {
	Group string
	Err   error
}

func (e *CommitError) Error() string {
	return fmt.Sprintf("group %q: the last commit failed, so its records will be processed again: %v", e.Group, e.Err)
}

func (e *CommitError) Unwrap() error { return e.Err }

// DrainError names the records that still ran when a stop could wait no longer.
// Their goroutines were left behind; their offsets were not committed.
type DrainError struct {
	Waited  time.Duration
	Running []Running
}

// Running is the first record of a batch that still runs.
type Running struct {
	Topic     string
	Partition int32
	Offset    int64
}

func (e *DrainError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "still running after %v:", e.Waited.Round(time.Millisecond))
	for i, r := range e.Running {
		if i == 10 {
			fmt.Fprintf(&b, " and %d more", len(e.Running)-i)
			break
		}
		fmt.Fprintf(&b, " %s/%d@%d", r.Topic, r.Partition, r.Offset)
	}
	return b.String()
}

// FetchError says that a partition can't be read.
type FetchError struct {
	Topic     string
	Partition int32
	Err       error
}

func (e *FetchError) Error() string {
	return fmt.Sprintf("%s/%d can't be read: %v", e.Topic, e.Partition, e.Err)
}

func (e *FetchError) Unwrap() error { return e.Err }

// topicError makes a *TopicError of what a broker said.
func topicError(topic string, err error) *TopicError {
	e := &TopicError{Topic: topic, Reason: err.Error(), Err: err}
	switch {
	case isAny(err, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID):
		e.Reason, e.Err = ErrTopicMissing.Error(), ErrTopicMissing
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		e.Reason, e.Err = ErrTopicUnauthorized.Error(), ErrTopicUnauthorized
	case errors.Is(err, kerr.InvalidTopicException):
		e.Reason = "the broker does not allow this name"
	}
	return e
}
