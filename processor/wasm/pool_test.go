package wasm

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/wasmton/wasmton/wasihost"
)

// poolModule is a module with room for one instance. Instances are empty: they can be
// handed around and closed, and nothing else.
func poolModule(t *testing.T) (m *Module, made *int) {
	t.Helper()
	m, made = &Module{}, new(int)
	m.guest.Store(&wasihost.Module{})
	m.pool = newPool(1, func(context.Context) (*instance, error) {
		*made++
		return &instance{Instance: new(wasihost.Instance), module: m, guest: m.guest.Load()}, nil
	})
	var err error
	if m.metrics, err = newMetrics(nil, m); err != nil {
		t.Fatal(err)
	}
	return m, made
}

// change gives the module another guest.
func change(m *Module) *instance {
	m.guest.Store(&wasihost.Module{})
	first := &instance{Instance: new(wasihost.Instance), module: m, guest: m.guest.Load()}
	m.pool.change(first)
	return first
}

func addLane(m *Module) *lane {
	l := &lane{module: m}
	m.pool.join(l)
	return l
}

// queue lets a lane wait in the pool's queue.
func queue(t *testing.T, p *pool) chan gift {
	t.Helper()
	g, wait := p.take()
	if wait == nil {
		t.Fatalf("it got %v at once", g)
	}
	return wait
}

// During a change there is one instance above the bound. The first lane that comes
// with an old one gives up its place, although others wait for one.
func TestTheBoundHoldsAgainAfterAChange(t *testing.T) {
	m, made := poolModule(t)
	busy, other, third := addLane(m), addLane(m), addLane(m)
	busy.busy.Lock()
	var err error
	if busy.instance, err = m.pool.get(t.Context()); err != nil {
		t.Fatal(err)
	}
	otherWaits, thirdWaits := queue(t, m.pool), queue(t, m.pool)

	first := change(m)
	if g := <-otherWaits; g.instance != first {
		t.Fatal("the lane that waits longest did not get the first instance")
	}
	other.busy.Lock()
	other.instance = first
	if m.pool.count() != 2 {
		t.Fatalf("%d live, want 2", m.pool.count())
	}
	m.pool.waiting.Add(1) // as get does
	busy.release()
	g := <-thirdWaits
	m.pool.waiting.Add(-1)
	third.busy.Lock()
	third.instance = g.instance
	if third.instance == nil || third.instance.due() != forReload {
		t.Fatal("the third lane did not get the old instance")
	}

	var waiting sync.WaitGroup
	waiting.Go(func() {
		in, err := third.ready(t.Context())
		if err != nil || in != first {
			t.Errorf("%v, %v; want the first instance of the new guest", in, err)
		}
	})
	for m.pool.waiting.Load() == 0 { // until the third lane is in get
	}
	other.release()
	waiting.Wait()
	if m.pool.count() != 1 || *made != 1 {
		t.Errorf("%d live and %d made beside the first of the new guest; want 1 and 1", m.pool.count(), *made)
	}
}

// The same where the lane's old instance died on its last task.
func TestTheBoundHoldsAgainAfterATrapInAChange(t *testing.T) {
	m, _ := poolModule(t)
	old, err := m.pool.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, second := queue(t, m.pool), queue(t, m.pool)
	change(m)
	<-first
	m.pool.discard(old)
	if m.pool.count() != 1 {
		t.Errorf("%d live, want 1", m.pool.count())
	}
	select {
	case <-second:
		t.Error("the place above the bound went to the next lane")
	default:
	}
}

// What a lane gets that has given up meanwhile is not lost, and takes nobody's place.
func TestAGiftThatComesTooLate(t *testing.T) {
	for name, test := range map[string]struct {
		changed bool // between the gift and the giving up
		live    int
	}{
		"becomes the spare":                        {false, 1},
		"is closed where a change brought another": {true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := poolModule(t)
			l := addLane(m)
			l.busy.Lock()
			l.instance, _ = m.pool.get(t.Context())
			old := l.instance
			wait := queue(t, m.pool)
			m.pool.waiting.Add(1)
			l.release() // gives it to the one that waits
			m.pool.waiting.Add(-1)
			want := old
			if test.changed {
				want = change(m)
			}
			m.pool.giveUp(wait)
			if m.pool.spare != want || m.pool.count() != test.live {
				t.Errorf("spare %p and %d live; want %p and %d", m.pool.spare, m.pool.count(), want, test.live)
			}
		})
	}
}

// A place whose instance can't be made goes to the next.
func TestAPlaceIsNotLostWithAnInstance(t *testing.T) {
	m, _ := poolModule(t)
	in, err := m.pool.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	m.pool.create = func(context.Context) (*instance, error) { return nil, broken }
	wait := queue(t, m.pool)
	if _, err := m.pool.renew(t.Context(), in); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if g := <-wait; g.instance != nil {
		t.Error("an instance, want a place")
	}
	if m.pool.count() != 1 {
		t.Errorf("%d live, want 1: the place", m.pool.count())
	}
}
