package consumer

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// Whatever lanes do in whatever order: a key stays in one lane and in order, and
// every record is run once.
func TestSchedulerKeepsKeysInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := rapid.IntRange(1, 9).Draw(t, "lanes")
		s := newScheduler(lanes)
		var (
			next   int64
			laneOf = map[string]int{}
			last   = map[string]int64{}
			ran    = map[int64]bool{}
			awake  = map[int]bool{}
		)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "push") {
				recs := make([]*kgo.Record, rapid.IntRange(0, 50).Draw(t, "n"))
				for i := range recs {
					recs[i] = &kgo.Record{Offset: next}
					if k := rapid.IntRange(0, 8).Draw(t, "key"); k > 0 {
						recs[i].Key = fmt.Append(nil, k)
					}
					next++
				}
				for _, l := range s.push(recs, nil) {
					if awake[l] {
						t.Fatalf("lane %d was woken twice", l)
					}
					awake[l] = true
				}
				continue
			}
			lane := rapid.IntRange(0, lanes-1).Draw(t, "lane")
			recs := s.ready(nil, lane, rapid.IntRange(1, 20).Draw(t, "max"), math.MaxInt64)
			if len(recs) > 0 && !awake[lane] {
				t.Fatalf("lane %d has records and was not woken", lane)
			}
			recs = recs[:rapid.IntRange(0, len(recs)).Draw(t, "settled")]
			for _, r := range recs {
				if ran[r.Offset] {
					t.Fatalf("%d ran twice", r.Offset)
				}
				ran[r.Offset] = true
				if r.Key == nil {
					continue
				}
				k := string(r.Key)
				if l, ok := laneOf[k]; ok && l != lane {
					t.Fatalf("key %s ran in lane %d and in lane %d", k, l, lane)
				}
				if o, ok := last[k]; ok && o >= r.Offset {
					t.Fatalf("%d of key %s ran after %d", r.Offset, k, o)
				}
				laneOf[k], last[k] = lane, r.Offset
			}
			s.settled(lane, len(recs))
			if len(s.ready(nil, lane, 1, math.MaxInt64)) == 0 {
				awake[lane] = false
			}
		}
		left := 0
		s.clear(func(*kgo.Record) { left++ })
		if len(ran)+left != int(next) {
			t.Fatalf("%d records ran and %d were left, of %d", len(ran), left, next)
		}
	})
}

func TestRecordsWithoutAKeyAvoidALaneThatIsStuck(t *testing.T) {
	s := newScheduler(8)
	for range 1000 {
		s.push([]*kgo.Record{{}}, nil)
		for lane := range 8 {
			if n := len(s.ready(nil, lane, 100, math.MaxInt64)); lane != 3 { // 3 is stuck
				s.settled(lane, n)
			}
		}
	}
	if n := s.lanes[3].len(); n > 2 {
		t.Errorf("%d records wait in a lane that is stuck", n)
	}
}

// All keys of a partition have the same remainder of the producer's hash. They must
// not have the same lane.
func TestLanesAreNotRelatedToPartitions(t *testing.T) {
	const n = 64 * 200
	for name, key := range map[string]func(i int) []byte{
		"decimal": func(i int) []byte { return fmt.Appendf(nil, "user-%d", i) },
		"binary":  func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) },
		"long":    func(i int) []byte { return fmt.Appendf(nil, "tenant/0000/customer/%012d/order", i) },
	} {
		for _, partitions := range []uint32{2, 12, 64} {
			var keys [][]byte
			for i := 0; len(keys) < n; i++ {
				if k := key(i); (murmur2(k)&0x7fffffff)%partitions == 1 {
					keys = append(keys, k)
				}
			}
			for _, lanes := range []int{2, 3, 8, 12, 16, 64} {
				counts := make([]int, lanes)
				for _, k := range keys {
					counts[laneOf(k, lanes)]++
				}
				mean := n / lanes
				for l, c := range counts {
					if off := c - mean; off*off > 36*mean { // six times the deviation
						t.Errorf("%s keys, %d partitions: lane %d of %d has %d of %d", name, partitions, l, lanes, c, n)
					}
				}
			}
		}
	}
}

func TestLaneOfIsInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, maxLanes).Draw(t, "lanes")
		key := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "key")
		if l := laneOf(key, n); l < 0 || l >= n {
			t.Fatalf("lane %d of %d", l, n)
		}
	})
}

// Keys that differ in one bit, or in length alone, have hashes that differ in about
// half of theirs.
func TestHashKeySpreadsBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "key")
		a := hashKey(key)
		bit := rapid.IntRange(0, 8*len(key)-1).Draw(t, "bit")
		key[bit/8] ^= 1 << (bit % 8)
		if n := bits.OnesCount64(a ^ hashKey(key)); n < 8 {
			t.Fatalf("one bit of the key changes %d bits", n)
		}
	})
	seen := map[uint64]int{}
	for n := range 100 {
		h := hashKey(make([]byte, n))
		if m, ok := seen[h]; ok {
			t.Errorf("%d and %d zero bytes have one hash", m, n)
		}
		seen[h] = n
	}
}

// murmur2 is the hash of Kafka's default partitioner.
func murmur2(b []byte) uint32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(b))
	for len(b) >= 4 {
		k := binary.LittleEndian.Uint32(b) * m
		h = h*m ^ (k^k>>24)*m
		b = b[4:]
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(b[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}

func BenchmarkLaneOf(b *testing.B) {
	key := []byte("customer-00012345")
	for b.Loop() {
		laneOf(key, 300)
	}
}
