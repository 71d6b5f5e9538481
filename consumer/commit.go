package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitTimeout bounds one commit. A group can wait that long for a revoke.
const commitTimeout = 10 * time.Second

// committer sends watermarks to the group coordinator. It is one goroutine, so that
// commits have an order: if a revoke committed by itself, an older commit that was
// just being made could arrive after it, at a time when the partition has another
// owner, and set the group back.
//
// It sends the request itself rather than by kgo's CommitOffsets, which waits while
// the group rebalances, for as long as the slowest member takes. The coordinator
// accepts commits for most of that time, and says so when it doesn't.
type committer struct {
	c     *Consumer
	nudge chan struct{}    // commit soon
	asked chan commitAsked // commit now, and say when it is done
	quit  chan struct{}    // closed when the committer is to end
	ended chan struct{}

	failing bool // the last commit failed, and that was logged
}

type commitAsked struct {
	parts []*partition
	last  bool // close them: whatever else finishes is not committed by us
	err   chan error
}

func newCommitter(c *Consumer) *committer {
	return &committer{
		c:     c,
		nudge: make(chan struct{}, 1),
		asked: make(chan commitAsked),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
	}
}

// soon asks for a commit without waiting for the interval.
func (k *committer) soon() {
	select {
	case k.nudge <- struct{}{}:
	default:
	}
}

// now commits the partitions and returns when that is done.
func (k *committer) now(parts []*partition, last bool) error {
	f := commitAsked{parts, last, make(chan error, 1)}
	select {
	case k.asked <- f:
		return <-f.err
	case <-k.ended:
		return context.Canceled
	}
}

// run is the committer's goroutine; stop joins it.
func (k *committer) run() {
	defer close(k.ended)
	tick := time.NewTicker(k.c.cfg.CommitInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-k.nudge:
		case f := <-k.asked:
			err := k.commit(f.parts)
			if f.last {
				// Here and not by who asked: no commit is under way here, and after the
				// answer none may be.
				for _, p := range f.parts {
					p.close()
				}
			}
			f.err <- err
			continue
		case <-k.quit:
			return
		}
		h := k.c.live.Load()
		k.report(k.commit(h.owned), k.commit(h.leaving))
	}
}

func (k *committer) stop() {
	close(k.quit)
	<-k.ended
}

// commit sends what is news of these partitions.
func (k *committer) commit(parts []*partition) error {
	type moved struct {
		p     *partition
		at    int64
		epoch int32
	}
	var news []moved
	for _, p := range parts {
		if at, epoch, ok := p.committable(); ok {
			news = append(news, moved{p, at, epoch})
		}
	}
	if len(news) == 0 {
		return nil
	}
	offsets := make(map[int32]kgo.EpochOffset, len(news))
	for _, m := range news {
		offsets[m.p.id] = kgo.EpochOffset{Epoch: m.epoch, Offset: m.at}
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	start := time.Now()
	failed, err := k.send(ctx, offsets)
	k.c.commitTook.observe(1, time.Since(start))
	if err != nil {
		k.c.commitsFailed.Add(1)
		return err
	}
	var errs []error
	for _, m := range news {
		if err := failed[m.p.id]; err != nil {
			errs = append(errs, fmt.Errorf("%s/%d@%d: %w", k.c.cfg.Topic, m.p.id, m.at, err))
			continue
		}
		m.p.didCommit(m.at)
		k.c.end.committed(m.p.id, m.at)
	}
	if len(errs) > 0 {
		k.c.commitsFailed.Add(1)
		return errors.Join(errs...)
	}
	k.c.commitsDone.Add(1)
	return nil
}

// send commits offsets as this member of this generation, and returns what went
// wrong with each partition.
func (k *committer) send(ctx context.Context, offsets map[int32]kgo.EpochOffset) (map[int32]error, error) {
	c := k.c
	failed := make(map[int32]error)
	collect := func(resp *kmsg.OffsetCommitResponse) {
		answered := make(map[int32]bool)
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				answered[p.Partition] = true
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failed[p.Partition] = err
				}
			}
		}
		for id := range offsets {
			if !answered[id] {
				failed[id] = errors.New("the broker did not answer for it")
			}
		}
	}
	if c.topicID == ([16]byte{}) {
		// A broker that gives topics no id but takes commits by id only (some that are
		// not Apache's) needs the request pinned to an old version, which kgo can and
		// we can't.
		var err error
		c.cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{c.cfg.Topic: offsets},
			func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, e error) {
				if err = e; err == nil {
					collect(resp)
				}
			})
		return failed, err
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = c.cfg.Group
	req.MemberID, req.Generation = c.cl.GroupMetadata()
	if id, ok := c.cl.OptValue(kgo.InstanceID).(string); ok && id != "" {
		req.InstanceID = &id
	}
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = c.cfg.Topic, c.topicID
	for id, o := range offsets {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = id, o.Offset, o.Epoch
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, err
	}
	collect(resp)
	return failed, nil
}

// report handles what came of the periodic commit: the next one tries again, so
// only what will not heal ends Run, and only the first failure in a row is told.
func (k *committer) report(errs ...error) {
	err := errors.Join(errs...)
	c := k.c
	switch {
	case err == nil && k.failing:
		k.failing = false
		c.log.Info("commits succeed again")
	case err == nil:
	case groupFatal(err) != "":
		c.fail(&GroupError{Group: c.cfg.Group, Reason: groupFatal(err), Err: err})
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		c.fail(topicError(c.cfg.Topic, err))
	case rebalancing(err):
		c.log.Debug("commit put off, the group is rebalancing", "error", err)
	case !k.failing:
		k.failing = true
		c.log.Warn("a commit failed; trying again with the next one", "interval", c.cfg.CommitInterval, "error", err)
	}
}

// rebalancing reports whether the group will say the same of all commits of this
// member until it has joined again, which the client is about to do.
func rebalancing(err error) bool {
	return isAny(err, kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.StaleMemberEpoch)
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
