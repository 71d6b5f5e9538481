package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// startTimeout bounds what is asked between the first contact and joining.
const startTimeout = time.Minute

// start applies the rules of where a group begins, and tells the caller what it
// found. It runs before the group is joined.
//
// A group that has no offset at all and no member is at its first start: only then
// does Latest mean something, and it is made true by committing the end offsets for
// the group. The coordinator takes such a commit from outside while the group has no
// member, so of two members that start at once, the later one can't move what the
// first began with.
func (c *Consumer) start(ctx context.Context, topic topicInfo) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	info := StartInfo{
		Group: c.cfg.Group, Topic: c.cfg.Topic,
		Partitions: topic.partitions,
		From:       c.cfg.From,
	}
	var err error
	if info.Committed, err = patiently(ctx, c.committedOffsets); err != nil {
		return c.groupError("its offsets can't be read", err)
	}
	info.Members = c.otherMembers(ctx)

	position := info.Committed
	if c.cfg.From == Latest {
		switch {
		case len(info.Committed) > 0:
			info.FromIgnored = "the group has committed offsets: it goes on from there"
		case len(info.Members) > 0:
			info.FromIgnored = "the group has members that began already"
		default:
			ends, err := patiently(ctx, c.commitEnds)
			switch {
			case err == nil:
				position = ends
			case isAny(err, kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.StaleMemberEpoch):
				info.FromIgnored = "another member began at the same moment"
			default:
				return c.groupError("its first offsets can't be committed", err)
			}
		}
		if info.FromIgnored != "" {
			info.From = Earliest
		}
	}
	if c.cfg.UntilEnd {
		if c.goals, err = c.findGoals(ctx, position); err != nil {
			return topicError(c.cfg.Topic, err)
		}
	}
	if c.cfg.Started != nil {
		c.cfg.Started(info)
	}
	return nil
}

// committedOffsets returns the group's offset of each partition of the topic that
// has one.
func (c *Consumer) committedOffsets(ctx context.Context) (map[int32]int64, error) {
	rs, err := c.adm.FetchOffsets(ctx, c.cfg.Group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	offsets := make(map[int32]int64)
	for id, r := range rs[c.cfg.Topic] {
		if r.Err != nil {
			return nil, r.Err
		}
		if r.At >= 0 {
			offsets[id] = r.At
		}
	}
	return offsets, nil
}

// commitEnds makes the end of each partition the group's offset.
func (c *Consumer) commitEnds(ctx context.Context) (map[int32]int64, error) {
	ends, err := c.listEnds(ctx)
	if err != nil {
		return nil, err
	}
	var commit kadm.Offsets
	for id, at := range ends {
		commit.AddOffset(c.cfg.Topic, id, at, -1)
	}
	return ends, c.adm.CommitAllOffsets(ctx, c.cfg.Group, commit)
}

// listEnds returns the offset behind the last record that a reader sees, of each
// partition.
func (c *Consumer) listEnds(ctx context.Context) (map[int32]int64, error) {
	list := c.adm.ListEndOffsets
	if c.readCommitted {
		list = c.adm.ListCommittedOffsets
	}
	return c.listed(list(ctx, c.cfg.Topic))
}

func (c *Consumer) listStarts(ctx context.Context) (map[int32]int64, error) {
	return c.listed(c.adm.ListStartOffsets(ctx, c.cfg.Topic))
}

// patiently calls a function again while it says that a partition has no leader, a
// group no coordinator, or the like, until ctx ends. A broker may have been started
// a moment ago, and a new cluster makes the topic that holds offsets when the first
// group asks for its own.
func patiently(ctx context.Context, list func(context.Context) (map[int32]int64, error)) (map[int32]int64, error) {
	for {
		offsets, err := list(ctx)
		if err == nil || !kerr.IsRetriable(err) {
			return offsets, err
		}
		select {
		case <-time.After(connectPause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (c *Consumer) listed(rs kadm.ListedOffsets, err error) (map[int32]int64, error) {
	if err != nil {
		return nil, err
	}
	offsets := make(map[int32]int64)
	for id, r := range rs[c.cfg.Topic] {
		if r.Err != nil {
			return nil, fmt.Errorf("partition %d: %w", id, r.Err)
		}
		offsets[id] = r.Offset
	}
	return offsets, nil
}

// otherMembers returns the members of the group beside this one. It serves a
// warning: where it is not allowed to ask there is none.
func (c *Consumer) otherMembers(ctx context.Context) []Member {
	groups, err := c.adm.DescribeGroups(ctx, c.cfg.Group)
	if err != nil {
		c.log.Debug("the group can't be described", "error", err)
		return nil
	}
	self, _ := c.cl.GroupMetadata()
	var members []Member
	for _, m := range groups[c.cfg.Group].Members {
		if m.MemberID != self {
			members = append(members, Member{ID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost})
		}
	}
	return members
}

func (c *Consumer) groupError(what string, err error) error {
	reason := groupFatal(err)
	if reason == "" {
		reason = fmt.Sprintf("%s: %v", what, err)
		if errors.Is(err, context.DeadlineExceeded) {
			reason = fmt.Sprintf("%s: no answer from its coordinator within %v", what, startTimeout)
		}
	}
	return &GroupError{Group: c.cfg.Group, Reason: reason, Err: err}
}
