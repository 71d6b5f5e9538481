//go:build e2e

package e2e

import (
	"sync"
	"syscall"
	"testing"
	"time"
)

// A group of one member becomes two and one again while messages arrive. Nobody
// dies, so nothing is lost and nothing done twice.
func TestMembersComeAndGo(t *testing.T) {
	tp, m := newTopic(t, 6), newMessages(t, 6)
	first, second := newSink(t), newSink(t)

	stop := make(chan struct{})
	var producer sync.WaitGroup
	producer.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if err := tp.client.ProduceSync(t.Context(), m.next(20)...).FirstErr(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	stopProducer := sync.OnceFunc(func() { close(stop); producer.Wait() })
	defer stopProducer()

	a := start(t, tp.run(guest(t, "c-processor"), first.grant())...)
	await(t, "the first member's messages", func() bool { return first.size() > 0 }, a)

	b := start(t, tp.run(guest(t, "c-processor"), second.grant())...)
	await(t, "two members with partitions", func() bool { return tp.shared(2) }, a, b)
	grown := second.size()
	await(t, "the second member's messages", func() bool { return second.size() > grown }, b)
	grown = first.size()
	await(t, "more of the first member's messages", func() bool { return first.size() > grown }, a)

	a.signal(syscall.SIGTERM)
	a.wait(0)
	await(t, "the second member alone", func() bool { return tp.shared(1) }, b)
	grown = second.size()
	await(t, "more of the second member's messages", func() bool { return second.size() > grown }, b)

	stopProducer()
	await(t, "all committed", tp.caughtUp, b)
	b.signal(syscall.SIGTERM)
	b.wait(0)

	// A key may have gone from the first to the second member, once.
	m.checkOnce(append(first.lines(), second.lines()...))
}

// The same with a member that is killed: it may have done more than it committed,
// and the other repeats that.
func TestAMemberThatIsKilledIsReplaced(t *testing.T) {
	tp, m := newTopic(t, 4), newMessages(t, 4)
	first, second := newSink(t), newSink(t)
	tp.produce(m.next(150_000)...)
	a := start(t, tp.run(guest(t, "c-processor"), append(sessionFlags(), first.grant())...)...)
	b := start(t, tp.run(guest(t, "c-processor"), append(sessionFlags(), second.grant(), "--until-end")...)...)
	await(t, "messages of both", func() bool { return first.size() > 0 && second.size() > 0 }, a, b)
	a.kill()
	b.wait(0)
	// The order between the two files is not known, so what is judged is presence.
	seen := map[string]bool{}
	for _, line := range append(first.lines(), second.lines()...) {
		seen[line] = true
	}
	if len(seen) != m.total() {
		t.Errorf("%d different messages of %d are there", len(seen), m.total())
	}
}
