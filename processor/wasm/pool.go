package wasm

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// pool bounds the live instances of a Module. Below the bound each lane makes its
// own and keeps it. At the bound, a lane without one takes that of an idle lane;
// where all are busy it queues, and each lane that ends a batch hands its instance
// to the head of the queue and queues up itself for its next batch. Without that
// rule, lanes that always have work would keep the others out for ever.
//
// A lane's path through a batch takes no lock of the pool: it only looks whether
// anyone waits.
type pool struct {
	max    int
	create func(context.Context) (*instance, error)

	// waiting counts the lanes in get. It grows before they look for an idle lane
	// and is read after a lane has become idle, so one of the two sees the other.
	waiting atomic.Int32

	mu    sync.Mutex
	live  int         // instances that exist or are being made; at most max
	spare *instance   // the first one, until a lane takes it
	queue []chan gift // lanes that wait, the longest first; each channel has room for 1
	lanes []*lane     // all lanes, in no order
	next  int         // where the next look for an idle lane begins
}

// gift is what a waiting lane gets: an instance, or, where that is nil, a place
// below the bound in which to make one.
type gift struct{ instance *instance }

func newPool(max int, create func(context.Context) (*instance, error)) *pool {
	return &pool{max: max, create: create}
}

// prime makes the first instance.
func (p *pool) prime(ctx context.Context) error {
	in, err := p.create(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spare, p.live = in, p.live+1
	return nil
}

// close frees the first instance if no lane ever came.
func (p *pool) close() {
	p.mu.Lock()
	in := p.spare
	p.spare = nil
	p.mu.Unlock()
	if in != nil {
		p.discard(in)
	}
}

func (p *pool) join(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.index = len(p.lanes)
	p.lanes = append(p.lanes, l)
}

func (p *pool) leave(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.lanes) - 1
	p.lanes[l.index] = p.lanes[last]
	p.lanes[l.index].index = l.index
	p.lanes[last] = nil
	p.lanes = p.lanes[:last]
}

// get finds an instance for a lane, which is busy meanwhile.
func (p *pool) get(ctx context.Context) (*instance, error) {
	p.waiting.Add(1)
	defer p.waiting.Add(-1)

	g, wait := p.take()
	if wait != nil {
		select {
		case g = <-wait:
		case <-ctx.Done():
			p.giveUp(wait)
			return nil, context.Cause(ctx)
		}
	}
	if g.instance != nil {
		return g.instance, nil
	}
	in, err := p.create(ctx)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.vacate()
	}
	return in, err
}

// take returns what can be had at once, or the channel on which it will come.
func (p *pool) take() (gift, chan gift) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if in := p.spare; in != nil {
		p.spare = nil
		return gift{in}, nil
	}
	if p.live < p.max {
		p.live++
		return gift{}, nil
	}
	for range p.lanes {
		p.next = (p.next + 1) % len(p.lanes)
		if in := p.lanes[p.next].steal(); in != nil {
			return gift{in}, nil
		}
	}
	wait := make(chan gift, 1)
	p.queue = append(p.queue, wait)
	return gift{}, wait
}

// giveUp leaves the queue; a gift that came in the meantime goes to the next.
func (p *pool) giveUp(wait chan gift) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.queue, wait); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
		return
	}
	switch g := <-wait; {
	case g.instance == nil:
		p.vacate()
	case !p.give(g):
		p.spare = g.instance
	}
}

// give hands g to the lane that waits longest; false if none does. p.mu is held.
func (p *pool) give(g gift) bool {
	if len(p.queue) == 0 {
		return false
	}
	p.queue[0] <- g
	p.queue = slices.Delete(p.queue, 0, 1)
	return true
}

// vacate gives up a place below the bound. p.mu is held.
func (p *pool) vacate() {
	if !p.give(gift{}) {
		p.live--
	}
}

// offer gives the instance of a lane that has ended a batch to one that waits.
func (p *pool) offer(l *lane) {
	if p.waiting.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return
	}
	if in := l.steal(); in != nil {
		p.give(gift{in})
	}
}

// discard closes an instance and gives its place away.
func (p *pool) discard(in *instance) {
	in.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.vacate()
}

// count returns the number of live instances.
func (p *pool) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live
}
