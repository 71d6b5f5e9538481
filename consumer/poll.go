package consumer

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The poll loop takes what the client has fetched and admits it to partitions.
//
// Taking and admitting are one step under the fence, which the rebalance callbacks
// take to attach and detach partitions. Without it there is a story like this: the
// loop polls records of partition 3; a revoke detaches 3 and commits; 3 comes back,
// and a new partition 3 begins; the loop goes on and admits the old records to it.
// With it, what was polled is admitted to the partition that owned it. kgo's own
// way, BlockRebalanceOnPoll, holds back all partitions while one of them drains.
//
// A poll under the fence must not wait. Waiting is by a hook that kgo calls when
// it decodes a batch, a little before the poll has something.

const (
	// idleTick is how often the loop looks without being told. It catches what has no
	// hook: errors that kgo reports in place of records.
	idleTick = 500 * time.Millisecond
	// After the hook the records are there as soon as the whole response is decoded.
	// The loop looks at intervals that double up to lookMax, for lookFor.
	lookMin = 10 * time.Microsecond
	lookMax = time.Millisecond
	lookFor = 100 * time.Millisecond
)

// fence is the mutex of that story. It is a channel and not a sync.Mutex since a
// test holds it for virtual seconds, and a synctest bubble sees only the former as
// blocked.
type fence chan struct{}

func newFence() fence { return make(fence, 1) }

func (f fence) Lock()   { f <- struct{}{} }
func (f fence) Unlock() { <-f }

// poll runs until ctx ends. It is the only caller of pollOnce and alone pauses and
// resumes.
func (c *Consumer) poll(ctx context.Context) {
	idle := time.NewTimer(idleTick)
	defer idle.Stop()
	for ctx.Err() == nil {
		if c.pollOnce() {
			continue
		}
		idle.Reset(idleTick)
		select {
		case <-c.waker:
			c.look(ctx)
		case <-idle.C:
		case <-ctx.Done():
		}
	}
}

// look waits until the client has records, or for lookFor.
func (c *Consumer) look(ctx context.Context) {
	for wait, until := lookMin, time.Now().Add(lookFor); ; wait = min(2*wait, lookMax) {
		if c.cl.BufferedFetchRecords() > 0 || c.anyResumable() || ctx.Err() != nil {
			return
		}
		if time.Now().After(until) {
			return
		}
		time.Sleep(wait)
	}
}

// pollOnce takes what is there and reports whether that was anything.
func (c *Consumer) pollOnce() bool {
	c.fence.Lock()
	defer c.fence.Unlock()
	c.resume()
	got := false
	fetches := c.cl.PollFetches(nil) //nolint:staticcheck // nil is kgo's word for "don't wait"
	if c.polled != nil {
		c.polled(fetches.NumRecords())
	}
	for _, fetch := range fetches {
		for i := range fetch.Topics {
			topic := &fetch.Topics[i]
			for j := range topic.Partitions {
				fp := &topic.Partitions[j]
				if fp.Err != nil {
					c.fetchFailed(topic.Topic, fp.Partition, fp.Err)
				}
				if len(fp.Records) > 0 {
					got = true
				}
				if fp.Err == nil || len(fp.Records) > 0 {
					c.admit(fp)
				}
			}
		}
	}
	return got
}

// admit hands records to the partition that owns them now. Those of a partition
// that is not ours were polled just before it went: whoever has it next gets them
// again. The fence is held.
func (c *Consumer) admit(fp *kgo.FetchPartition) {
	p := c.parts[fp.Partition]
	if p == nil {
		for _, r := range fp.Records {
			r.Recycle()
		}
		return
	}
	if len(fp.Records) > 0 {
		c.fetchWorks(fp.Partition)
	}
	end := fp.HighWatermark
	if c.readCommitted {
		end = fp.LastStableOffset
	}
	if !p.admit(fp.Records, end) {
		cut := fp.Records[0].Offset
		c.log.Warn("the log was cut off below what was read already; going on from there",
			"partition", p.id, "had", p.next, "offset", cut)
		var again bool
		if p, again = c.restart(p, cut); again {
			for _, r := range fp.Records {
				r.Recycle()
			}
			return
		}
		p.admit(fp.Records, end)
	}
	if p.pause() {
		c.cl.PauseFetchPartitions(c.only(p.id))
		c.paused = append(c.paused, p)
	}
}

// resume lets partitions be fetched again that have room. The fence is held.
func (c *Consumer) resume() {
	kept := c.paused[:0]
	for _, p := range c.paused {
		switch {
		case c.parts[p.id] != p: // its successor was resumed when it was attached
		case p.resumable():
			p.retry()
			if p.resume() {
				c.cl.ResumeFetchPartitions(c.only(p.id))
			} else {
				kept = append(kept, p)
			}
		default:
			kept = append(kept, p)
		}
	}
	clear(c.paused[len(kept):])
	c.paused = kept
}

// anyResumable reports whether a paused partition asked to go on. Only the poll
// loop changes the list.
func (c *Consumer) anyResumable() bool {
	for _, p := range c.paused {
		if p.resumable() {
			return true
		}
	}
	return false
}

func (c *Consumer) only(id int32) map[string][]int32 {
	return map[string][]int32{c.cfg.Topic: {id}}
}

// pause marks the partition as paused if it is full, and reports whether that is
// new.
func (p *partition) pause() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused || !p.full() {
		return false
	}
	p.paused, p.asked = true, false
	return true
}

// resumable reports whether the partition has room again.
func (p *partition) resumable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.paused && p.roomy()
}

// resume marks the partition as not paused if it has room, and reports whether it
// did.
func (p *partition) resume() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = false
	if !p.roomy() {
		return false
	}
	p.paused = false
	return true
}
