package consumer

import (
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// A queue does what a slice does, whichever way records come in.
func TestQueueAgainstASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			q    queue
			twin []int64
			next int64
		)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				recs := make([]*kgo.Record, rapid.IntRange(0, 700).Draw(t, "n"))
				for i := range recs {
					recs[i] = &kgo.Record{Offset: next}
					twin = append(twin, next)
					next += rapid.Int64Range(1, 3).Draw(t, "gap")
				}
				q.pushAll(recs)
			case 1:
				for range rapid.IntRange(0, 700).Draw(t, "n") {
					q.push(&kgo.Record{Offset: next})
					twin = append(twin, next)
					next++
				}
			case 2:
				n := rapid.IntRange(0, q.len()).Draw(t, "drop")
				q.drop(n)
				twin = twin[n:]
			case 3:
				n := rapid.IntRange(0, 1200).Draw(t, "peek")
				below := int64(math.MaxInt64)
				if rapid.Bool().Draw(t, "bounded") {
					below = rapid.Int64Range(0, next+1).Draw(t, "below")
				}
				want := twin[:min(n, len(twin))]
				for i, o := range want {
					if o >= below {
						want = want[:i]
						break
					}
				}
				got := q.peek(nil, n, below)
				if len(got) != len(want) {
					t.Fatalf("%d records, want %d", len(got), len(want))
				}
				for i := range got {
					if got[i].Offset != want[i] {
						t.Fatalf("record %d is %d, want %d", i, got[i].Offset, want[i])
					}
				}
			}
			if q.len() != len(twin) {
				t.Fatalf("the length is %d, want %d", q.len(), len(twin))
			}
		}
	})
}

// What was dropped is not held: chunks are used again, and records belong to a pool.
func TestQueueHoldsNothingThatWasDropped(t *testing.T) {
	var q queue
	for i := range 3 * queueChunk {
		q.push(&kgo.Record{Offset: int64(i)})
	}
	q.drop(3*queueChunk - 1)
	for _, chunk := range append(q.chunks, q.spare[:cap(q.spare)]) {
		for _, r := range chunk {
			if r != nil && r.Offset != 3*queueChunk-1 {
				t.Fatalf("record %d is held", r.Offset)
			}
		}
	}
}

func TestQueueAllocatesNothingInTheLongRun(t *testing.T) {
	var q queue
	r := &kgo.Record{}
	run := func() {
		for range 10 * queueChunk {
			q.push(r)
			q.drop(1)
		}
	}
	run()
	if n := testing.AllocsPerRun(10, run); n > 0 {
		t.Errorf("%v allocations for %d records", n, 10*queueChunk)
	}
}
