package consumer

import (
	"context"
	"log/slog"
	"testing"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/consumer/internal/watermark"
	"github.com/wasmton/wasmton/processor"
)

// detached is a consumer without a client, for what needs none.
func detached(t testing.TB, cfg Config) *Consumer {
	t.Helper()
	cfg.Brokers, cfg.Topic, cfg.Group = []string{"localhost:9092"}, "t", "g"
	cfg.Logger = slog.New(slog.DiscardHandler)
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.commits, c.tails = newCommitter(c), newTails(c)
	return c
}

// done says that all is done.
type done struct{}

func (done) New(context.Context, processor.Lane) (processor.Processor, error) { return done{}, nil }

func (done) Process(_ context.Context, _ []processor.Record, outcomes []processor.Outcome) {
	for i := range outcomes {
		outcomes[i].Kind = processor.Done
	}
}

func (done) Close() error { return nil }

func records(from, n int64) []*kgo.Record {
	recs := make([]*kgo.Record, n)
	for i := range recs {
		recs[i] = &kgo.Record{Topic: "t", Offset: from + int64(i)}
	}
	return recs
}

// When the finished span above a stuck record is full, records wait without being
// tracked, and the partition is paused; they are processed when it moves on.
func TestTheFinishedSpanIsBounded(t *testing.T) {
	release := make(chan struct{})
	c := detached(t, Config{Concurrency: 2, Factory: processor.Func(func(_ context.Context, r *processor.Record) error {
		if r.Offset == 0 {
			<-release
		}
		return nil
	})})
	p := newPartition(c, 0, nil)
	p.begin(0, -1, 0)
	other := []byte("b") // a key of the other lane
	for laneOf(other, 2) == laneOf([]byte("a"), 2) {
		other = append(other, 'b')
	}
	stuck := records(0, 1)
	stuck[0].Key = []byte("a")
	p.admit(stuck, 1)
	if p.pause() {
		t.Error("one record pauses the partition")
	}
	// A log with large gaps, so that the test needs few records.
	recs := append(records(watermark.Span-64, 10), records(watermark.Span-5, 10)...)
	for _, r := range recs {
		r.Key = other
	}
	if !p.admit(recs, watermark.Span+100) {
		t.Fatal("not admitted")
	}
	if !p.pause() {
		t.Fatal("the span is full, and the partition is not paused")
	}
	late := records(watermark.Span+10, 3)
	for _, r := range late {
		r.Key = other
	}
	p.admit(late, watermark.Span+100)
	within := 0
	for _, r := range recs {
		if r.Offset < watermark.Span {
			within++
		}
	}
	if len(p.beyond) != 20-within+3 {
		t.Errorf("%d records wait, want %d", len(p.beyond), 20-within+3)
	}
	if p.resumable() {
		t.Error("resumable while the record is stuck")
	}
	close(release)
	waitFor(t, p.resumable)
	p.retry()
	if !p.resume() {
		t.Error("it does not go on")
	}
	waitFor(t, func() bool { return p.gauges().pending == 0 })
	if g := p.gauges(); g.watermark != watermark.Span+13 || g.bytes != 0 {
		t.Errorf("%+v", g)
	}
	p.drain()
	<-p.done
	c.lanes.Wait()
}

// waitFor waits for what other goroutines bring about.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

func TestControlRecordsAreSettledByBeingSeen(t *testing.T) {
	c := detached(t, Config{Factory: done{}})
	p := newPartition(c, 0, nil)
	p.begin(0, -1, 0)
	control := kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Control: true, Transactional: true})
	recs := records(0, 6)
	for _, i := range []int{0, 2, 5} {
		recs[i].Attrs = control
	}
	p.admit(recs, 6)
	waitFor(t, func() bool { return p.gauges().pending == 0 })
	if g := p.gauges(); g.watermark != 6 || g.lag != 0 || p.counts.done.Load() != 3 {
		t.Errorf("%+v, %d done", g, p.counts.done.Load())
	}
	only := records(6, 1)
	only[0].Attrs = control
	p.admit(only, 7)
	if g := p.gauges(); g.watermark != 7 || g.pending != 0 {
		t.Errorf("%+v", g)
	}
	p.drain()
	<-p.done
	c.lanes.Wait()
}

// An idle lane keeps no large value alive.
func TestAnIdleLaneHoldsNothing(t *testing.T) {
	c := detached(t, Config{Factory: done{}})
	p := newPartition(c, 0, nil)
	p.begin(0, -1, 0)
	for i := range int64(50) {
		p.admit(records(i*100, 100), 0)
	}
	waitFor(t, func() bool { return p.gauges().pending == 0 })
	p.drain()
	<-p.done
	c.lanes.Wait()
	l := p.lanes[0]
	l.rest()
	for i := range l.batch[:cap(l.batch)] {
		if r := &l.batch[:cap(l.batch)][i]; r.Topic != "" || r.Value != nil {
			t.Fatalf("record %d is held", i)
		}
	}
	for i, r := range l.recs[:cap(l.recs)] {
		if r != nil {
			t.Fatalf("pointer %d is held", i)
		}
	}
	if p.sched.lanes[0].len() != 0 || len(p.sched.lanes[0].chunks) != 0 {
		t.Error("the queue is not empty")
	}
}

func TestTheWayOfARecordAllocatesNothing(t *testing.T) {
	c := detached(t, Config{Factory: done{}})
	p := newPartition(c, 0, nil)
	p.begin(0, -1, 0)
	l := newLane(p, 0)
	l.makeProcessor()
	p.lanes[0] = l // not running: the test is its goroutine
	all, recs := records(0, 1024), make([]*kgo.Record, 1024)
	next := int64(0)
	run := func() {
		copy(recs, all) // the partition keeps the slice that it is given
		for _, r := range recs {
			r.Offset = next
			next++
		}
		p.admit(recs, next)
		for p.gauges().pending > 0 {
			if !l.process(p.take(l, l.pace.Size())) {
				t.Fatal("the lane ended")
			}
		}
	}
	for range 20 {
		run()
	}
	if n := testing.AllocsPerRun(50, run); n > 3 {
		t.Errorf("%v allocations for %d records", n, len(recs))
	}
}

// A commit carries the leader epoch of the record before it.
func TestEpochs(t *testing.T) {
	var es epochs
	es.add(9, 3) // what was committed
	for _, e := range []epoch{{10, 3}, {20, 5}, {30, 5}, {40, 7}} {
		es.add(e.from, e.epoch)
	}
	for at, want := range map[int64]int32{9: -1, 10: 3, 20: 3, 21: 5, 40: 5, 41: 7, 1000: 7} {
		if got := es.before(at); got != want {
			t.Errorf("before %d: epoch %d, want %d", at, got, want)
		}
	}
	es.trim(35)
	if len(es) != 2 || es.before(35) != 5 || es.before(41) != 7 {
		t.Errorf("trimmed to %v", es)
	}
	if (epochs{}).before(5) != -1 {
		t.Error("an epoch out of nothing")
	}
}

func TestRecordOverheadIsThatOfTheRecord(t *testing.T) {
	const pointers = 8 // in the queue
	if size := int(unsafe.Sizeof(kgo.Record{})) + pointers; recordOverhead != size {
		t.Errorf("recordOverhead is %d, and a record takes %d", recordOverhead, size)
	}
}

func BenchmarkWayOfARecord(b *testing.B) {
	c := detached(b, Config{Factory: done{}})
	p := newPartition(c, 0, nil)
	p.begin(0, -1, 0)
	l := newLane(p, 0)
	l.makeProcessor()
	p.lanes[0] = l
	all, recs := records(0, 8192), make([]*kgo.Record, 8192)
	value := make([]byte, 100)
	next := int64(0)
	for b.Loop() {
		copy(recs, all)
		for _, r := range recs {
			r.Offset, r.Value = next, value
			next++
		}
		p.admit(recs, next)
		for p.gauges().pending > 0 {
			l.process(p.take(l, l.pace.Size()))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(recs)), "ns/record")
}

// After the last commit of a partition none may follow: it may have another owner.
func TestAClosedPartitionCommitsNothing(t *testing.T) {
	c := detached(t, Config{Factory: done{}})
	go c.commits.run()
	defer c.commits.stop()
	p := c.attach(0)
	p.begin(0, -1, 0)
	if err := c.commits.now([]*partition{p}, false); err != nil { // nothing is news, so nobody is asked
		t.Error(err)
	}
	p.admit(records(0, 5), 5)
	waitFor(t, func() bool { return p.gauges().pending == 0 })
	if at, _, ok := p.committable(); !ok || at != 5 {
		t.Errorf("committable: %d, %v", at, ok)
	}
	p.didCommit(5)
	if err := c.commits.now([]*partition{p}, true); err != nil {
		t.Error(err)
	}
	p.admit(records(5, 5), 10)
	waitFor(t, func() bool { return p.gauges().pending == 0 })
	if at, _, ok := p.committable(); ok {
		t.Errorf("%d is committable after the last commit", at)
	}
	p.drain()
	<-p.done
	c.lanes.Wait()
}

// What a probe found holds for where it looked. If the partition moved on meanwhile,
// it is old.
func TestSkipOfAPartitionThatMovedOn(t *testing.T) {
	c := detached(t, Config{Factory: done{}})
	p := c.attach(0)
	p.begin(5, -1, 5)
	c.skip(p, 4, 100) // it looked below
	if g := p.gauges(); g.watermark != 5 {
		t.Errorf("%+v", g)
	}
	p.admit(records(10, 3), 13)
	c.skip(p, 5, 100) // records came since
	waitFor(t, func() bool { return p.gauges().pending == 0 })
	c.skip(p, 5, 100) // and were processed
	if g := p.gauges(); g.watermark != 13 {
		t.Errorf("%+v", g)
	}
	c.skip(p, 13, 20)
	if g := p.gauges(); g.watermark != 20 || g.lag != 0 {
		t.Errorf("%+v", g)
	}
	p.drain()
	<-p.done
	c.lanes.Wait()
}

// A partition goes on at half of its bounds: at the bound itself it would be paused
// again at once, and what is fetched meanwhile is thrown away.
func TestBounds(t *testing.T) {
	c := detached(t, Config{Factory: done{}, MaxPendingRecords: 100, MaxPendingBytes: 1000})
	for _, x := range []struct {
		pending     int
		bytes       int64
		full, roomy bool
	}{
		{0, 0, false, true},
		{50, 500, false, true},
		{51, 500, false, false},
		{50, 501, false, false},
		{99, 999, false, false},
		{100, 10, true, false},
		{10, 1000, true, false},
	} {
		p := &partition{c: c, pending: x.pending, bytes: x.bytes}
		if p.full() != x.full || p.roomy() != x.roomy {
			t.Errorf("%d records of %d bytes: full %v, roomy %v", x.pending, x.bytes, p.full(), p.roomy())
		}
	}
}
