package consumer

import (
	"context"
	"math"
	"sort"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/consumer/internal/watermark"
)

// recordOverhead is what a record costs beside its key, value and headers: kgo's
// struct and the pointers to it.
const recordOverhead = 168

// partition is one partition for as long as it is assigned to us. It admits
// records, owns the lanes that run them, and knows up to where they are settled.
//
// An assignment is a new partition, even of the same number: what finishes late
// settles into an old one that nobody reads, so no flag has to be asked on the way.
// Its lanes start when those of the old one have returned (before), so that a key
// never runs twice at a time in this process.
type partition struct {
	c  *Consumer
	id int32

	// before are closed when those who had this partition before in this process are
	// out of it.
	before []<-chan struct{}
	// ctx is the context of the work; its end cuts short what runs.
	ctx    context.Context
	cancel context.CancelCauseFunc
	counts *counts // of this partition's number, over all assignments

	// done is closed when a drain was asked for and all lanes have returned.
	done chan struct{}

	// These belong to admission, under the consumer's fence.
	next  int64 // the offset that the next record must have at least; -1 before the first
	epoch int32 // of the last record admitted
	woken []int // scratch

	mu       sync.Mutex           // guards all below; never held across a call of others' code
	mark     *watermark.Watermark // nil until the first offset is known
	epochs   epochs
	sched    scheduler
	lanes    []*lane // nil until its first record
	running  int     // lanes whose goroutine has not ended
	draining bool
	started  int64 // the highest offset that a lane was given; -1 at first
	pending  int   // records admitted and not settled
	bytes    int64 // of those
	// beyond are records that lie too far above the watermark to be tracked. They
	// wait for it, and the partition is paused. They count as pending.
	beyond []*kgo.Record
	paused bool  // no fetching; the poll loop decides
	asked  bool  // the poll loop was told that it may resume
	end    int64 // of the log, as a reader sees it; -1 until known
	// committed is the group's offset as last committed or found; -1 for none.
	committed int64
	closed    bool // nothing is committed any more
	lost      bool // while it was drained
	// goal is the offset that UntilEnd waits for, or -1.
	goal     int64
	signaled bool // that the goal was reached
}

func newPartition(c *Consumer, id int32, before []<-chan struct{}) *partition {
	p := &partition{
		c: c, id: id, before: before,
		counts:  c.countsOf(id),
		done:    make(chan struct{}),
		next:    -1,
		epoch:   -1,
		sched:   newScheduler(c.cfg.Concurrency),
		lanes:   make([]*lane, c.cfg.Concurrency),
		started: -1, end: -1, committed: -1, goal: -1,
	}
	if goal, ok := c.goals[id]; ok {
		p.goal = goal
	}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	return p
}

// begin sets where the partition starts, and the group's committed offset or -1.
func (p *partition) begin(offset int64, epoch int32, committed int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mark == nil {
		p.mark = watermark.New(offset)
		p.epochs.add(offset-1, epoch)
		p.committed = committed
	}
}

// admit takes what one poll has of this partition, and the end of the log that came
// with it. It reports false if the records
// lie below what was admitted before: the log was cut off and grew again, and
// nothing that we know of it holds. The fence is held.
func (p *partition) admit(recs []*kgo.Record, end int64) bool {
	if len(recs) > 0 && recs[0].Offset < p.floor() {
		return false
	}
	first := p.next
	if len(recs) > 0 {
		first = recs[0].Offset
	}
	got := p.sift(recs)

	p.mu.Lock()
	defer p.unlock()
	p.end = max(end, p.next) // records may be newer than the end that came with them
	if p.next < 0 {
		return true
	}
	if p.mark == nil { // where the partition begins was not known
		p.mark = watermark.New(first)
	}
	for _, e := range got.epochs {
		p.epochs.add(e.from, e.epoch)
	}
	p.pending += len(got.recs)
	p.bytes += got.bytes
	if len(p.beyond) > 0 {
		p.beyond = append(p.beyond, got.recs...)
		got.recs = nil
	}
	p.track(got.recs)
	return true
}

// floor is the lowest offset that a new record may have.
func (p *partition) floor() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mark == nil {
		return p.next
	}
	return max(p.next, p.mark.End())
}

// retry tracks what was beyond reach of the watermark. The fence is held.
func (p *partition) retry() {
	p.mu.Lock()
	defer p.unlock()
	beyond := p.beyond
	p.beyond = nil
	p.track(beyond)
}

// track makes records pending and hands them to the scheduler, as many as fit the
// span of the watermark. The fence and the lock are held.
func (p *partition) track(recs []*kgo.Record) {
	for from := 0; from < len(recs); {
		limit := p.mark.Limit(recs[from].Offset)
		to := from + runLength(recs[from:])
		last := recs[to-1].Offset
		if last > limit {
			to = from + sort.Search(to-from, func(i int) bool { return recs[from+i].Offset > limit })
			if to > from {
				p.mark.Track(recs[from].Offset, recs[to-1].Offset)
			}
			p.beyond = append(p.beyond, recs[to:]...)
			recs = recs[:to]
			break
		}
		p.mark.Track(recs[from].Offset, last)
		from = to
	}
	if len(p.beyond) == 0 {
		p.mark.Skip(p.next) // control records at the end
	}
	p.woken = p.sched.push(recs, p.woken[:0])
	for _, i := range p.woken {
		p.wake(i)
	}
}

// wake makes the lane look for records, and starts it at its first. The lock is
// held.
func (p *partition) wake(i int) {
	l := p.lanes[i]
	if l == nil {
		l = newLane(p, i)
		p.lanes[i] = l
		p.running++
		p.c.lanes.Add(1)
		go l.run()
		return
	}
	l.wake()
}

// sifted is what is left of a polled slice when its control records are out.
type sifted struct {
	recs   []*kgo.Record
	bytes  int64
	epochs []epoch // where the leader epoch changes
}

// sift takes out control records, which are settled by being seen, and sums up the
// others. The fence is held.
func (p *partition) sift(recs []*kgo.Record) (s sifted) {
	if len(recs) == 0 {
		return s
	}
	p.next = recs[len(recs)-1].Offset + 1
	control := 0
	for _, r := range recs {
		if r.Attrs.IsControl() {
			control++
			continue
		}
		s.bytes += recordSize(r)
		if r.LeaderEpoch != p.epoch {
			p.epoch = r.LeaderEpoch
			s.epochs = append(s.epochs, epoch{r.Offset, r.LeaderEpoch})
		}
	}
	if control == 0 {
		s.recs = recs
		return s
	}
	kept := recs[:0]
	for _, r := range recs {
		if r.Attrs.IsControl() {
			r.Recycle()
		} else {
			kept = append(kept, r)
		}
	}
	clear(recs[len(kept):])
	s.recs = kept
	return s
}

// recordSize is what the record counts for in MaxPendingBytes.
func recordSize(r *kgo.Record) int64 {
	n := recordOverhead + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return int64(n)
}

// runLength returns how many records at the front have offsets without a gap.
// Mostly that is all of them, which the ends alone tell.
func runLength(recs []*kgo.Record) int {
	first := recs[0].Offset
	if n := len(recs); recs[n-1].Offset-first == int64(n-1) {
		return n
	}
	n := 1
	for n < len(recs) && recs[n].Offset == first+int64(n) {
		n++
	}
	return n
}

// take gives a lane what it may run now, at most n records, and waits for it. It
// returns nothing when the lane is to end: the work was cut, or a drain has nothing
// left for it. A drain goes on with records below the highest offset that was
// started, so that the watermark closes up behind them.
func (p *partition) take(l *lane, n int) []*kgo.Record {
	for {
		p.mu.Lock()
		below := int64(math.MaxInt64)
		if p.draining {
			below = p.started + 1
		}
		var recs []*kgo.Record
		if p.ctx.Err() == nil {
			recs = p.sched.ready(l.recs[:0], l.index, n, below)
		}
		if len(recs) > 0 {
			p.started = max(p.started, recs[len(recs)-1].Offset)
			l.at = recs[0].Offset
		}
		end := p.draining || p.ctx.Err() != nil
		p.mu.Unlock()
		if len(recs) > 0 || end {
			return recs
		}
		l.rest()
		select {
		case <-l.woken:
		case <-p.ctx.Done():
		}
	}
}

// settled takes records, the first of those that the lane was given, out of the
// books: their offsets may be committed. The lane is at none of them any more.
func (p *partition) settled(l *lane, recs []*kgo.Record) {
	var bytes int64
	for _, r := range recs {
		bytes += recordSize(r)
	}
	p.mu.Lock()
	l.at = -1
	p.sched.settled(l.index, len(recs))
	for rest := recs; len(rest) > 0; {
		n := runLength(rest)
		p.mark.Done(rest[0].Offset, rest[n-1].Offset)
		rest = rest[n:]
	}
	p.pending -= len(recs)
	p.bytes -= bytes
	p.unlock()
	for _, r := range recs {
		r.Recycle()
	}
}

// unlock unlocks, and tells those who wait for what was changed under the lock.
func (p *partition) unlock() {
	resume := p.paused && !p.asked && p.roomy()
	p.asked = p.asked || resume
	reached := p.goal >= 0 && !p.signaled && p.mark != nil && p.mark.At() >= p.goal
	p.signaled = p.signaled || reached
	p.mu.Unlock()
	if resume {
		p.c.waker.wake()
	}
	if reached {
		p.c.commits.soon()
	}
}

// full reports whether fetching should pause; roomy, whether it should go on. The
// distance between them keeps a partition at its bound from flapping, and leaves
// lanes something to do until the next fetch arrives. The lock is held.
func (p *partition) full() bool {
	return p.pending >= p.c.cfg.MaxPendingRecords || p.bytes >= p.c.cfg.MaxPendingBytes || len(p.beyond) > 0
}

func (p *partition) roomy() bool {
	if len(p.beyond) > 0 {
		return p.mark.Limit(p.beyond[0].Offset) >= p.beyond[0].Offset
	}
	return p.pending <= p.c.cfg.MaxPendingRecords/2 && p.bytes <= p.c.cfg.MaxPendingBytes/2
}

// committable returns what may be committed now, if that is news.
func (p *partition) committable() (at int64, epoch int32, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.mark == nil || p.mark.At() == p.committed {
		return 0, 0, false
	}
	at = p.mark.At()
	return at, p.epochs.before(at), true
}

func (p *partition) didCommit(at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.committed = at
	p.epochs.trim(at)
}

// lose ends commits for good, since others may have the partition.
func (p *partition) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.lost = true, true
}

// wasLost reports whether the partition was lost and has something to commit, from
// before or from what finished since.
func (p *partition) wasLost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost && p.mark != nil && p.mark.At() != p.committed
}

// close ends commits for good.
func (p *partition) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// drain lets what runs finish, and queued records below it, starts nothing else,
// and closes p.done when all lanes have returned. It may be called twice.
func (p *partition) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining {
		return
	}
	p.draining = true
	if p.running == 0 {
		p.finish()
	}
	for _, l := range p.lanes {
		if l != nil {
			l.wake()
		}
	}
}

// isDraining reports whether the partition starts nothing new.
func (p *partition) isDraining() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.draining
}

// laneDone is called by a lane at its end.
func (p *partition) laneDone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	if p.running == 0 && p.draining {
		p.finish()
	}
}

// finish gives back what nobody will run. The lock is held, and no lane is left.
func (p *partition) finish() {
	p.sched.clear((*kgo.Record).Recycle)
	for _, r := range p.beyond {
		r.Recycle()
	}
	p.beyond = nil
	p.cancel(ErrStopping) // nobody listens; frees the context
	close(p.done)
}

// stillRunning names the records that lanes are at.
func (p *partition) stillRunning() (rs []Running) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lanes {
		if l != nil && l.at >= 0 {
			rs = append(rs, Running{p.c.cfg.Topic, p.id, l.at})
		}
	}
	return rs
}

// epochs remembers the leader epoch of records above the committed offset: a commit
// carries the epoch of the record before it, by which a broker tells whether the
// log was cut off below.
type epochs []epoch

type epoch struct {
	from  int64
	epoch int32
}

func (es *epochs) add(from int64, e int32) {
	if n := len(*es); n == 0 || (*es)[n-1].epoch != e {
		*es = append(*es, epoch{from, e})
	}
}

// before returns the epoch of the last record below at, or -1.
func (es epochs) before(at int64) int32 {
	e := int32(-1)
	for _, x := range es {
		if x.from >= at {
			break
		}
		e = x.epoch
	}
	return e
}

// trim forgets what no commit at or above at asks for.
func (es *epochs) trim(at int64) {
	for len(*es) > 1 && (*es)[1].from < at {
		*es = (*es)[1:]
	}
}
