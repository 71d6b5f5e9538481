package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A log can end in offsets that hold no record: compacted away, or of an aborted
// transaction. The client reads past them in silence, and tells no position; so the
// watermark would stay below the end for ever, with a lag that nobody can work off
// and an UntilEnd that never comes.
//
// tails finds such ends. Where a partition has nothing pending and yet lies below
// its end for a while, it asks the broker by a fetch of its own what comes next.
// If there is no record, the watermark moves on.
type tails struct {
	c     *Consumer
	nudge chan struct{}
}

const (
	// tailTick is how long a partition must stand still; tailTickEnd the same for
	// UntilEnd, where somebody waits for it.
	tailTick    = 5 * time.Second
	tailTickEnd = 100 * time.Millisecond
	// endsEvery is the age at which end offsets are asked for, for the lag. For
	// partitions that are being fetched they come with the records.
	endsEvery = 10 * time.Second
	// A topic that is missing for that long was deleted.
	missingPatience = 30 * time.Second

	probeBytes = 1 << 20
)

func newTails(c *Consumer) *tails { return &tails{c, make(chan struct{}, 1)} }

func (t *tails) soon() {
	select {
	case t.nudge <- struct{}{}:
	default:
	}
}

// run is the goroutine of tails; Run of the Consumer joins it.
func (t *tails) run(ctx context.Context) {
	every := tailTick
	if t.c.cfg.UntilEnd {
		every = tailTickEnd
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var (
		listed  time.Time // when the ends were asked for
		missing time.Time // since when the topic is
		still   = make(map[*partition]int64)
	)
	for {
		now := false
		select {
		case <-tick.C:
		case <-t.nudge:
			now = true
		case <-ctx.Done():
			return
		}
		if now || time.Since(listed) >= endsEvery {
			listed = time.Now()
			err := t.refresh(ctx)
			switch {
			case !isAny(err, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID):
				missing = time.Time{}
			case missing.IsZero():
				missing = listed
			case time.Since(missing) > missingPatience:
				t.c.fail(topicError(t.c.cfg.Topic, err))
			}
		}
		if !now {
			still = t.look(ctx, still)
		}
	}
}

// refresh learns the ends of our partitions.
func (t *tails) refresh(ctx context.Context) error {
	ends, err := t.c.listEnds(ctx)
	if err != nil {
		t.c.log.Debug("the end offsets can't be listed", "error", err)
		return err
	}
	for _, p := range t.c.owned() {
		if end, ok := ends[p.id]; ok {
			p.mu.Lock()
			p.end = max(p.end, end)
			p.mu.Unlock()
		}
	}
	return nil
}

// look probes the partitions that stand where they stood the last time, and
// returns where they stand now.
func (t *tails) look(ctx context.Context, before map[*partition]int64) map[*partition]int64 {
	now := make(map[*partition]int64)
	for _, p := range t.c.owned() {
		at, ok := p.idleBelowEnd()
		if !ok {
			continue
		}
		now[p] = at
		if was, ok := before[p]; !ok || was != at {
			continue
		}
		to, err := t.probe(ctx, p.id, at)
		if err != nil {
			t.c.log.Debug("a tail can't be looked at", "partition", p.id, "offset", at, "error", err)
			continue
		}
		if to > at {
			t.c.skip(p, at, to)
			delete(now, p)
		}
	}
	return now
}

// probe returns the offset up to which there is no record from at on.
func (t *tails) probe(ctx context.Context, id int32, at int64) (int64, error) {
	c := t.c
	leader, _, err := c.cl.PartitionLeader(c.cfg.Topic, id)
	if err != nil || leader < 0 {
		return at, errors.Join(errors.New("its leader is not known"), err)
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	opts := kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, // the client will deliver them, too
		Offset:             at,
		IsolationLevel:     kgo.ReadUncommitted(),
		Topic:              c.cfg.Topic,
		Partition:          id,
	}
	if c.readCommitted {
		opts.IsolationLevel = kgo.ReadCommitted()
	}
	for {
		resp, err := c.cl.Broker(int(leader)).RetriableRequest(ctx, t.fetch(id, opts.Offset))
		if err != nil {
			return at, err
		}
		rp, err := onlyPartition(resp.(*kmsg.FetchResponse))
		if errors.Is(err, kerr.OffsetOutOfRange) && rp.LogStartOffset > at {
			return rp.LogStartOffset, nil // deleted meanwhile, and nothing came after it
		}
		if err != nil {
			return at, err
		}
		end := rp.HighWatermark
		if c.readCommitted {
			end = rp.LastStableOffset
		}
		if len(rp.RecordBatches) == 0 {
			// Nothing is left in the log, although the offset is within it.
			return max(opts.Offset, end), nil
		}
		fp, next := kgo.ProcessFetchPartition(opts, rp, kgo.DefaultDecompressor(), nil)
		switch {
		case fp.Err != nil:
			return at, fp.Err
		case len(fp.Records) > 0 || next <= opts.Offset:
			return opts.Offset, nil
		case next >= end:
			return next, nil
		}
		opts.Offset = next
	}
}

// fetch is a request outside of any fetch session, so that it does not disturb the
// client's.
func (t *tails) fetch(id int32, at int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID = -1
	req.MaxWaitMillis = 0
	req.MinBytes = 0
	req.MaxBytes = probeBytes
	if t.c.readCommitted {
		req.IsolationLevel = 1
	}
	req.SessionID, req.SessionEpoch = 0, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = t.c.cfg.Topic, t.c.topicID
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition = id
	p.FetchOffset = at
	p.PartitionMaxBytes = probeBytes
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return req
}

func onlyPartition(resp *kmsg.FetchResponse) (*kmsg.FetchResponseTopicPartition, error) {
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, errors.New("the broker is throttling") // an answer without partitions
	}
	rp := &resp.Topics[0].Partitions[0]
	return rp, kerr.ErrorForCode(rp.ErrorCode)
}

// idleBelowEnd returns where the partition stands if that is below its end although
// nothing is pending.
func (p *partition) idleBelowEnd() (at int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mark == nil || p.pending > 0 || p.draining {
		return 0, false
	}
	at = p.mark.At()
	return at, at < max(p.end, p.goal)
}

// skip moves the watermark over offsets without records, if the partition still
// stands where it did.
func (c *Consumer) skip(p *partition, from, to int64) {
	c.fence.Lock()
	defer c.fence.Unlock()
	p.mu.Lock()
	defer p.unlock()
	if p.pending == 0 && p.mark.At() == from && p.mark.End() == from && p.next <= from {
		p.mark.Skip(to)
		p.end = max(p.end, to)
	}
}
