package consumer

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// fetchPatience is how long a partition may give nothing but errors before Run
	// ends. A broker that was started anew, a leader that moves, a batch that was cut
	// short on the way: all that is over sooner.
	fetchPatience = time.Minute
	// fetchCalm is how long no error may come before the next one is another matter.
	fetchCalm = 15 * time.Second
)

// brokenSpan is a time of errors only.
type brokenSpan struct{ since, last time.Time }

// fetchFailed handles an error that came in place of records. What kgo tries again
// by itself does not get here. The fence is held.
func (c *Consumer) fetchFailed(topic string, partition int32, err error) {
	var (
		session *kgo.ErrGroupSession
		loss    *kgo.ErrDataLoss
		large   *kgo.ErrDecompressTooLarge
	)
	switch {
	case errors.Is(err, kgo.ErrClientClosed):
	case errors.As(err, &session):
		if errors.Is(err, kerr.TopicAuthorizationFailed) {
			c.fail(topicError(c.cfg.Topic, err))
		} else if reason := groupFatal(session.Err); reason != "" {
			c.fail(&GroupError{Group: c.cfg.Group, Reason: reason, Err: session.Err})
		} else {
			if !c.outside {
				c.log.Warn("out of the group; joining again", "error", session.Err)
			}
			c.outside = true
		}
	case errors.As(err, &loss):
		c.log.Warn("records were lost on the broker", "partition", loss.Partition,
			"had", loss.ConsumedTo, "goes_on_at", loss.ResetTo)
	case errors.As(err, &large):
		c.fail(&FetchError{Topic: topic, Partition: partition, Err: err})
	case isAny(err, kerr.TopicAuthorizationFailed, kerr.InvalidTopicException):
		c.fail(topicError(c.cfg.Topic, err))
	default:
		c.fetchBroken(topic, partition, err)
	}
}

// fetchBroken counts how long a partition gives errors only.
func (c *Consumer) fetchBroken(topic string, partition int32, err error) {
	now := time.Now()
	span, was := c.broken[partition]
	if !was || now.Sub(span.last) > fetchCalm {
		span.since = now
		if !was {
			c.log.Warn("a partition can't be read; trying on", "partition", partition, "for", fetchPatience, "error", err)
		}
	}
	span.last = now
	c.broken[partition] = span
	if now.Sub(span.since) <= fetchPatience {
		return
	}
	if errors.Is(err, kerr.UnknownTopicID) {
		c.fail(&TopicError{Topic: topic, Reason: "it was deleted, or made anew", Err: ErrTopicMissing})
		return
	}
	c.fail(&FetchError{Topic: topic, Partition: partition, Err: err})
}

// fetchWorks says that records came.
func (c *Consumer) fetchWorks(partition int32) {
	if _, was := c.broken[partition]; was {
		delete(c.broken, partition)
		c.log.Info("the partition can be read again", "partition", partition)
	}
}

// groupFatal says for people why the group will never take this member, or nothing
// if trying again may help.
func groupFatal(err error) string {
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return "no permission to be a member of the group"
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		return "its members share out partitions by another protocol: they run another program or another version"
	case errors.Is(err, kerr.GroupMaxSizeReached):
		return "it has as many members as the broker allows"
	case errors.Is(err, kerr.FencedInstanceID):
		return "another member has joined with the same instance id"
	case errors.Is(err, kerr.InvalidGroupID):
		return "the broker does not allow this name"
	case errors.Is(err, kerr.InvalidSessionTimeout):
		return "the broker does not allow this session timeout"
	case errors.Is(err, kerr.UnsupportedVersion):
		return "the broker is too old for this group protocol"
	}
	return ""
}
