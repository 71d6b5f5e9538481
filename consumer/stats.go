package consumer

import (
	"sync/atomic"
	"time"
)

// Stats counts records.
type Stats struct {
	Processed int64         // settled as done
	Failed    int64         // failed and skipped, or failed and stopped
	Lag       int64         // records of our partitions between their watermark and the broker's end; -1 until known
	Elapsed   time.Duration // since Run began; it stands still when Run has returned
	Assigned  int           // partitions that are ours now
}

// Stats returns counts since Run began. It is safe for concurrent use.
func (c *Consumer) Stats() Stats {
	var s Stats
	c.countsMu.Lock()
	for _, n := range c.counted {
		s.Processed += n.done.Load()
		s.Failed += n.failed.Load()
	}
	c.countsMu.Unlock()
	owned := c.owned()
	s.Assigned = len(owned)
	if len(owned) == 0 {
		s.Lag = -1
	}
	for _, p := range owned {
		lag := p.gauges().lag
		if lag < 0 {
			s.Lag = -1
			break
		}
		s.Lag += lag
	}
	if began := c.began.Load(); began != nil {
		s.Elapsed = time.Since(*began)
		if ended := c.ended.Load(); ended != nil {
			s.Elapsed = ended.Sub(*began)
		}
	}
	return s
}

// counts are what was counted of one partition number in all its assignments. Lanes
// add to them once a batch.
type counts struct {
	done, failed, interrupted atomic.Int64
	took                      histogram
}

// ran says that n records took that long each.
func (n *counts) ran(records int, each time.Duration) { n.took.observe(records, each) }

// countsOf returns the counts of a partition.
func (c *Consumer) countsOf(id int32) *counts {
	c.countsMu.Lock()
	defer c.countsMu.Unlock()
	n := c.counted[id]
	if n == nil {
		n = new(counts)
		c.counted[id] = n
	}
	return n
}

// histogram counts durations in buckets that grow by 4, from a microsecond to over
// a minute: processing spans from a no-op in Wasm to a slow web service.
type histogram struct {
	buckets [histogramBuckets + 1]atomic.Uint64 // not cumulative; the last is beyond all bounds
	sum     atomic.Int64                        // ns
}

const histogramBuckets = 14

// histogramBound returns the upper bound of bucket i: 1 µs, 4 µs, … 67 s.
func histogramBound(i int) time.Duration { return time.Microsecond << (2 * i) }

// observe adds n observations of d at once.
func (h *histogram) observe(n int, d time.Duration) {
	i := 0
	for i < histogramBuckets && d > histogramBound(i) {
		i++
	}
	h.buckets[i].Add(uint64(n))
	h.sum.Add(int64(d) * int64(n))
}

// gauges is what a partition looks like at a moment.
type gauges struct {
	pending   int
	bytes     int64
	paused    bool
	watermark int64 // -1 until known
	committed int64 // -1 for none
	lag       int64 // -1 until known
}

func (p *partition) gauges() gauges {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := gauges{pending: p.pending, bytes: p.bytes, paused: p.paused, watermark: -1, committed: p.committed, lag: -1}
	if p.mark != nil {
		g.watermark = p.mark.At()
		if p.end >= 0 {
			g.lag = max(0, p.end-g.watermark)
		}
	}
	return g
}
