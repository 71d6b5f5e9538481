//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Offsets are not records: what a topic holds beside them must not keep
// --until-end waiting.

func TestUntilEndWithTransactions(t *testing.T) {
	// commit(n) and abort(n) are transactions of n records each; plain(n) is none.
	type step struct {
		how string
		n   int
	}
	commit, abort, plain := func(n int) step { return step{"commit", n} }, func(n int) step { return step{"abort", n} }, func(n int) step { return step{"plain", n} }
	tests := map[string]struct {
		steps                  []step
		uncommitted, committed int // records under either isolation level
	}{
		"a marker at the end":             {[]step{commit(5)}, 5, 5},
		"an aborted one at the end":       {[]step{commit(5), abort(3)}, 8, 5},
		"nothing but an aborted one":      {[]step{abort(4)}, 4, 0},
		"nothing but markers":             {[]step{commit(1), abort(1)}, 2, 1},
		"many small ones, then one alone": {append(repeat([]step{commit(1), abort(1)}, 20), plain(3)), 43, 23},
	}
	for name, test := range tests {
		for isolation, want := range map[string]int{"read_uncommitted": test.uncommitted, "read_committed": test.committed} {
			t.Run(name+"/"+isolation, func(t *testing.T) {
				tp := newTopic(t, 1)
				tx := newClient(t, sharedCluster(t), kgo.DefaultProduceTopic(tp.name), kgo.TransactionalID(tp.name))
				end := 0
				for _, s := range test.steps {
					end += s.n
					records := make([]*kgo.Record, s.n)
					for i := range records {
						records[i] = &kgo.Record{Value: []byte("x")}
					}
					if s.how == "plain" {
						tp.produce(records...)
						continue
					}
					end++ // the marker
					if err := tx.BeginTransaction(); err != nil {
						t.Fatal(err)
					}
					if err := tx.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
						t.Fatal(err)
					}
					if err := tx.EndTransaction(t.Context(), kgo.TransactionEndTry(s.how == "commit")); err != nil {
						t.Fatal(err)
					}
				}
				tp.awaitStable(int64(end))
				for run, want := range []int{want, 0} { // the second start finds all done
					w := start(t, tp.run(guest(t, "noop.wat"), "--until-end", "-X", "isolation.level="+isolation)...)
					w.wait(0)
					w.summary(want, 0)
					if !tp.caughtUp() {
						t.Errorf("run %d committed %v of %v", run+1, tp.committed(), tp.ends())
					}
				}
			})
		}
	}
}

// repeat returns n copies of s behind each other.
func repeat[T any](s []T, n int) (all []T) {
	for range n {
		all = append(all, s...)
	}
	return all
}

// An open transaction ends a topic for whoever reads committed records only.
func TestUntilEndWithAnOpenTransaction(t *testing.T) {
	tp := newTopic(t, 1)
	tp.produce(&kgo.Record{Value: []byte("before")}, &kgo.Record{Value: []byte("before")})
	tx := newClient(t, sharedCluster(t), kgo.DefaultProduceTopic(tp.name), kgo.TransactionalID(tp.name))
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := tx.ProduceSync(t.Context(), &kgo.Record{Value: []byte("open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	tp.produce(&kgo.Record{Value: []byte("behind")})

	w := start(t, tp.run(guest(t, "noop.wat"), "--until-end", "-X", "isolation.level=read_committed")...)
	w.wait(0)
	w.summary(2, 0)
	if err := tx.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	tp.awaitStable(5)
	w = start(t, tp.run(guest(t, "noop.wat"), "--until-end", "-X", "isolation.level=read_committed")...)
	w.wait(0)
	w.summary(2, 0)
}

func TestUntilEndOnACompactedTopic(t *testing.T) {
	tp := newTopic(t, 1, "cleanup.policy=compact", "segment.ms=100", "min.cleanable.dirty.ratio=0.01", "delete.retention.ms=0")
	const keys, rounds = 10, 50
	fill := func(value []byte) {
		var records []*kgo.Record
		for i := range keys * rounds {
			records = append(records, &kgo.Record{Key: fmt.Append(nil, "key", i%keys), Value: value})
		}
		tp.produce(records...)
	}
	fill([]byte("x"))
	// The broker compacts closed segments only, and closes one when a record
	// arrives after its time: so records go on arriving until it has compacted.
	var left int
	await(t, "compaction", func() bool {
		tp.produce(&kgo.Record{Key: []byte("key0"), Value: nil})
		left = len(tp.read())
		return left < keys*rounds/2
	})
	left = len(tp.read())
	w := start(t, tp.run(guest(t, "noop.wat"), "--until-end")...)
	w.wait(0)
	if n := w.processed(); n > left || n < keys-1 {
		t.Errorf("processed %d records of at most %d that are left", n, left)
	}
	if !tp.caughtUp() {
		t.Errorf("committed %v of %v", tp.committed(), tp.ends())
	}
}

func TestUntilEndOnEmptyTopics(t *testing.T) {
	t.Run("never written to", func(t *testing.T) {
		tp := newTopic(t, 3)
		w := start(t, tp.run(guest(t, "noop.wat"), "--until-end")...)
		w.wait(0)
		w.summary(0, 0)
	})
	t.Run("all records deleted", func(t *testing.T) {
		tp := newTopic(t, 1)
		tp.produce(newMessages(t, 1).next(10)...)
		tp.deleteAll()
		w := start(t, tp.run(guest(t, "noop.wat"), "--until-end")...)
		w.wait(0)
		w.summary(0, 0)
	})
	t.Run("all records behind the committed offset deleted", func(t *testing.T) {
		tp := newTopic(t, 1)
		tp.produce(newMessages(t, 1).next(10)...)
		w := start(t, tp.run(guest(t, "noop.wat"), "--until-end")...)
		w.wait(0)
		w.summary(10, 0)
		tp.produce(newMessages(t, 1).next(10)...)
		tp.deleteAll()
		w = start(t, tp.run(guest(t, "noop.wat"), "--until-end")...)
		w.wait(0)
		w.summary(0, 0)
	})
}

// deleteAll deletes all records of the topic.
func (tp *topic) deleteAll() {
	tp.t.Helper()
	ends, err := tp.admin.ListEndOffsets(tp.t.Context(), tp.name)
	if err != nil {
		tp.t.Fatal(err)
	}
	deleted, err := tp.admin.DeleteRecords(tp.t.Context(), ends.Offsets())
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		tp.t.Fatal(err)
	}
}

// Two members share the work; both end when all of it is done, whoever did it. The
// second joins when the first has begun, and whoever is done first leaves what it
// had to the other: so partitions wander, and where they are at the end is chance.
func TestUntilEndWithTwoMembers(t *testing.T) {
	for round := range 5 {
		t.Run(fmt.Sprintf("round %d", round+1), func(t *testing.T) {
			tp, m := newTopic(t, 4), newMessages(t, 4)
			first, second := newSink(t), newSink(t)
			tp.produce(m.next(50_000)...)
			a := start(t, tp.run(guest(t, "c-processor"), "--until-end", first.grant())...)
			b := start(t, tp.run(guest(t, "c-processor"), "--until-end", second.grant())...)
			a.wait(0)
			b.wait(0)
			if n := a.processed() + b.processed(); n != m.total() {
				t.Errorf("the members processed %d and %d records, %d in all; want %d", a.processed(), b.processed(), n, m.total())
			}
			if lines := strings.Count(first.text()+second.text(), "\n"); lines != m.total() {
				t.Errorf("%d messages of %d are there", lines, m.total())
			}
			if !tp.caughtUp() {
				t.Errorf("committed %v of %v", tp.committed(), tp.ends())
			}
		})
	}
}

// A partition goes to another member, which does all of it and leaves: it comes
// back with nothing left to do, and must not be waited for.
func TestUntilEndWithAPartitionThatComesBackDone(t *testing.T) {
	tp, gate := newTopic(t, 2), newSink(t)
	tp.produce(&kgo.Record{Partition: 0, Value: []byte("x")}, &kgo.Record{Partition: 1, Value: []byte("x")})
	w := start(t, tp.run(guest(t, "gate.wat"), "--until-end", "--drain-timeout=200ms", gate.grant())...)
	await(t, "a member with both partitions", func() bool { return slices.Equal(tp.members(), []int{2}) }, w)

	other := newClient(t, sharedCluster(t), kgo.ConsumerGroup(tp.group()), kgo.ConsumeTopics(tp.name),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	records := other.PollFetches(ctx).Records()
	if len(records) != 1 {
		t.Fatalf("the other member got %d records, want that of one partition", len(records))
	}
	if err := other.CommitRecords(ctx, records...); err != nil {
		t.Fatal(err)
	}
	other.Close() // leaves the group
	await(t, "a member with both partitions again", func() bool { return slices.Equal(tp.members(), []int{2}) }, w)

	if err := os.WriteFile(filepath.Join(gate.dir, "open"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.wait(0)
	if !tp.caughtUp() {
		t.Errorf("committed %v of %v", tp.committed(), tp.ends())
	}
}
