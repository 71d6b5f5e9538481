//go:build e2e

package e2e

import (
	"syscall"
	"testing"
)

// The first group that a cluster ever sees has no coordinator yet: the broker makes
// the topic that holds offsets when somebody asks for it. That is what everybody
// meets who tries wasmton on a new Kafka.
func TestTheFirstGroupOfANewCluster(t *testing.T) {
	tp, m, out := newTopicOn(t, ownCluster(t, 1), 1), newMessages(t, 1), newSink(t)
	tp.produce(m.next(10)...)
	w := start(t, tp.run(guest(t, "c-processor"), "--until-end", out.grant())...)
	w.wait(0)
	w.summary(10, 0)
	m.checkOnce(out.lines())
}

// The only broker is killed and started again in mid-stream: wasmton waits, goes
// on and loses nothing.
func TestABrokerThatDiesAndComesBack(t *testing.T) {
	cluster := ownCluster(t, 1)
	tp, m, out := newTopicOn(t, cluster, 3), newMessages(t, 3), newSink(t)
	tp.produce(m.next(150_000)...)
	w := start(t, tp.run(guest(t, "c-processor"), out.grant())...)
	await(t, "some messages", func() bool { return out.size() > 50_000 }, w)
	if err := cluster.Kill(1); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Restart(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	tp.produce(m.next(1000)...)
	await(t, "all committed", tp.caughtUp, w)
	w.signal(syscall.SIGTERM)
	w.wait(0)
	t.Logf("%d of %d messages were repeated", m.check(out.lines()), m.total())
}

// One of three brokers is killed for good: its partitions get other leaders.
func TestABrokerOfThreeThatDies(t *testing.T) {
	cluster := ownCluster(t, 3)
	tp, m, out := newTopicOn(t, cluster, 3), newMessages(t, 3), newSink(t)
	tp.produce(m.next(150_000)...)
	w := start(t, tp.run(guest(t, "c-processor"), out.grant())...)
	await(t, "some messages", func() bool { return out.size() > 50_000 }, w)
	if err := cluster.Kill(2); err != nil {
		t.Fatal(err)
	}
	tp.produce(m.next(1000)...)
	await(t, "all committed", tp.caughtUp, w)
	w.signal(syscall.SIGTERM)
	w.wait(0)
	t.Logf("%d of %d messages were repeated", m.check(out.lines()), m.total())
}
