package consumer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The group gives and takes partitions through these callbacks. kgo calls them one
// at a time, from a goroutine of its own, while heartbeats go on. They attach and
// detach under the fence; waiting, draining and committing is outside of it, so that
// the partitions that stay are polled meanwhile.

// drainGrace is how long lanes have to return after their work was cut.
const drainGrace = time.Second

// onAssigned attaches partitions. A lane of theirs starts only when those of the
// last owner in this process have returned.
func (c *Consumer) onAssigned(_ context.Context, cl *kgo.Client, assigned map[string][]int32) {
	ids := assigned[c.cfg.Topic]
	c.firstAssigned.Do(func() { close(c.assigned) })
	if len(ids) == 0 {
		return
	}
	c.fence.Lock()
	defer c.fence.Unlock()
	if c.stopping {
		return
	}
	if c.outside {
		c.outside = false
		c.log.Info("in the group again", "partitions", ids)
	}
	c.rebalances.Add(1)
	for _, id := range ids {
		if p := c.parts[id]; p != nil {
			// Given again without being taken: its offsets are others (the topic was made
			// anew).
			p.abandon(fmt.Errorf("%w: it was assigned again", ErrLost))
		}
		c.attach(id)
	}
	// kgo keeps partitions paused over assignments.
	cl.ResumeFetchPartitions(map[string][]int32{c.cfg.Topic: ids})
	c.log.Debug("partitions assigned", "partitions", ids)
}

// onOffsets is told the committed offsets of new partitions before they are
// fetched. Where there is none the partition starts at the beginning of the log;
// that offset is looked up and will be committed, so that a group's first start is
// remembered for partitions where nothing happens, too.
func (c *Consumer) onOffsets(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	ours := offsets[c.cfg.Topic]
	var starts kadm.ListedOffsets
	for _, o := range ours {
		if o.EpochOffset().Offset < 0 {
			var err error
			if starts, err = c.adm.ListStartOffsets(ctx, c.cfg.Topic); err != nil {
				// The client looks for itself, for as long as it takes.
				c.log.Debug("the first offsets can't be listed", "error", err)
			}
			break
		}
	}
	c.fence.Lock()
	defer c.fence.Unlock()
	for id, o := range ours {
		p := c.parts[id]
		if p == nil {
			continue
		}
		if at := o.EpochOffset(); at.Offset >= 0 {
			p.begin(at.Offset, at.Epoch, at.Offset)
			c.end.committed(id, at.Offset) // who had it before may have been through
		} else if start, ok := starts.Lookup(c.cfg.Topic, id); ok && start.Err == nil {
			p.begin(start.Offset, start.LeaderEpoch, -1)
			ours[id] = kgo.NewOffset().At(start.Offset)
		}
	}
	c.commits.soon()
	c.tails.soon()
	return offsets, nil
}

// onRevoked gives partitions away: what runs finishes, within a deadline that the
// group can wait for; their offsets are committed once; then they are nobody's.
func (c *Consumer) onRevoked(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
	parts := c.detachAll(revoked[c.cfg.Topic])
	if len(parts) == 0 {
		return
	}
	c.rebalances.Add(1)
	c.log.Debug("partitions revoked", "partitions", idsOf(parts))
	drainAll(parts, c.revokeTimeout, ErrRevoked)
	if err := c.commits.now(parts, true); err != nil {
		c.log.Warn("the commit before giving partitions away failed; their last records will be processed again",
			"partitions", idsOf(parts), "error", err)
	}
	c.forget(parts)
}

// forget ends the commits of partitions that were detached.
func (c *Consumer) forget(parts []*partition) {
	c.fence.Lock()
	defer c.fence.Unlock()
	for _, p := range parts {
		delete(c.leaving, p)
	}
	c.publish()
}

// onLost drops partitions that others may have by now. Those that are just being
// drained to be given away are lost as well.
func (c *Consumer) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	ids := lost[c.cfg.Topic]
	parts := c.detachAll(ids)
	c.fence.Lock()
	for p := range c.leaving {
		if slices.Contains(ids, p.id) {
			p.lose()
		}
	}
	c.fence.Unlock()
	if len(parts) == 0 {
		return
	}
	c.rebalances.Add(1)
	c.log.Warn("partitions lost: the group went on without this member; records that ran will be processed again",
		"partitions", idsOf(parts))
	for _, p := range parts {
		p.abandon(ErrLost)
	}
	c.forget(parts)
}

// attach begins a partition. The fence is held.
func (c *Consumer) attach(id int32) *partition {
	c.undone = slices.DeleteFunc(c.undone, func(p *partition) bool { return isClosed(p.done) })
	var before []<-chan struct{}
	for _, p := range c.undone {
		if p.id == id {
			before = append(before, p.done)
		}
	}
	p := newPartition(c, id, before)
	c.parts[id] = p
	c.undone = append(c.undone, p)
	delete(c.broken, id)
	c.publish()
	return p
}

// detachAll detaches those of the partitions that are ours. They stay in the list
// of those that are committed, until their last commit.
func (c *Consumer) detachAll(ids []int32) []*partition {
	if len(ids) == 0 {
		return nil // kgo tells of the end of each session
	}
	c.fence.Lock()
	defer c.fence.Unlock()
	var parts []*partition
	for _, id := range ids {
		if p := c.parts[id]; p != nil {
			delete(c.parts, id)
			c.leaving[p] = struct{}{}
			parts = append(parts, p)
		}
	}
	c.publish()
	return parts
}

// abandon ends a partition at once and for good: nothing of it is committed.
func (p *partition) abandon(why error) {
	p.close()
	p.cancel(why)
	p.drain()
}

// restart begins the partition anew, since its log was cut off and grew again:
// records from cut on are others than those that we knew under their offsets. The
// new one begins at the watermark where that is lower, or what was pending below
// the cut would be lost; the client then reads from there again. It reports whether
// that is so. The fence is held.
func (c *Consumer) restart(old *partition, cut int64) (p *partition, again bool) {
	old.mu.Lock()
	at, epoch := old.mark.At(), old.epochs.before(old.mark.At())
	committed, paused := old.committed, old.paused
	old.mu.Unlock()
	old.abandon(fmt.Errorf("%w: the log was cut off", ErrLost))

	p = c.attach(old.id)
	if paused {
		c.cl.ResumeFetchPartitions(c.only(p.id))
	}
	if at >= cut {
		p.begin(cut, -1, committed)
		return p, false
	}
	p.begin(at, epoch, committed)
	c.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{
		c.cfg.Topic: {p.id: {Epoch: -1, Offset: at}},
	})
	return p, true
}

// drainAll drains partitions side by side. After the timeout it cuts their work
// short, and after a grace it goes on without those lanes that did not return.
func drainAll(parts []*partition, timeout time.Duration, why error) {
	var wg sync.WaitGroup
	for _, p := range parts {
		p.drain()
		wg.Go(func() {
			if !waitDone(p.done, timeout) {
				p.cancel(why)
				waitDone(p.done, drainGrace)
			}
		})
	}
	wg.Wait()
}

func waitDone(done <-chan struct{}, timeout time.Duration) bool {
	select { // no timer for what is done already
	case <-done:
		return true
	default:
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// held is what Stats, commits and metrics read without the fence.
type held struct {
	owned   []*partition // admitting
	leaving []*partition // being drained, and still committed
}

// publish makes a new list. The fence is held.
func (c *Consumer) publish() {
	h := &held{}
	for _, p := range c.parts {
		h.owned = append(h.owned, p)
	}
	for p := range c.leaving {
		h.leaving = append(h.leaving, p)
	}
	c.live.Store(h)
}

func idsOf(parts []*partition) []int32 {
	ids := make([]int32, len(parts))
	for i, p := range parts {
		ids[i] = p.id
	}
	slices.Sort(ids)
	return ids
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
