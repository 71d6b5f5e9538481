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
	live  int         // instances that exist or are being made; at most max, and one more during a change
	spare *instance   // the first one of a guest, until a lane takes it
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

// change takes the first instance of the guest that the module uses from now on, and
// closes those of other guests that no busy lane has. in may be one above the bound,
// until such a lane ends its batch.
func (p *pool) change(in *instance) {
	p.mu.Lock()
	var old []*instance
	if p.spare != nil {
		old = append(old, p.spare)
		p.spare = nil
	}
	for _, l := range p.lanes {
		if in := l.stealIf((*instance).stale); in != nil {
			old = append(old, in)
		}
	}
	p.live++
	if !p.give(gift{in}) {
		p.spare = in
	}
	p.mu.Unlock()
	for _, in := range old {
		in.recycled(forReload)
		p.discard(in)
	}
}

// renew closes an instance of a lane's and finds another: in its place, unless one
// is there already or the place is above the bound.
func (p *pool) renew(ctx context.Context, in *instance) (*instance, error) {
	in.Close()
	p.mu.Lock()
	above := p.spare != nil || p.live > p.max
	if above {
		p.vacate()
	}
	p.mu.Unlock()
	if above {
		return p.get(ctx)
	}
	return p.make(ctx)
}

// make makes an instance in a place that the caller has.
func (p *pool) make(ctx context.Context) (*instance, error) {
	in, err := p.create(ctx)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.vacate()
	}
	return in, err
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
	return p.make(ctx)
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
	case p.give(g):
	case p.spare == nil:
		p.spare = g.instance
	default: // a change came between, whose first instance is there
		g.instance.Close()
		p.vacate()
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

// vacate gives up a place: the longest waiting lane gets it, if it is one below the
// bound. p.mu is held.
func (p *pool) vacate() {
	if p.live > p.max || !p.give(gift{}) {
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
