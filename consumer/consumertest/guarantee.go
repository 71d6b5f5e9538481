package consumertest

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/wasmton/wasmton/processor"
)

// Guarantee is one thing that a consumer promises.
type Guarantee string

const (
	// AtLeastOnce: every record was finished by some member.
	AtLeastOnce Guarantee = "at least once"

	// KeyOrder: records that share a key are processed in order. A rebalance or a
	// failure may go back to a record that ran before, and on from there; nothing may
	// run ahead of a record of its key that was never finished, and one Processor
	// never goes back.
	//
	//	legal:   1 2 3 · 2 3 4    (another member went on from what was committed)
	//	illegal: 1 3 2            (2 was overtaken)
	KeyOrder Guarantee = "order by key"

	// OneAtATime: two records of one key never run at the same time, in the whole
	// group. A lost partition, or a lane that does not return by the deadline, gives
	// this up.
	OneAtATime Guarantee = "one at a time by key"

	// CommitsBehind: no offset is sent to be committed before all records below it
	// are finished.
	CommitsBehind Guarantee = "commits stay behind"
)

// All are all guarantees.
var All = []Guarantee{AtLeastOnce, KeyOrder, OneAtATime, CommitsBehind}

// Check fails the test for each guarantee that the history breaks.
func (h *History) Check(t testing.TB, guarantees ...Guarantee) {
	t.Helper()
	for _, b := range h.Broken(guarantees...) {
		t.Error(b)
	}
}

// Broken says where the history breaks the guarantees.
func (h *History) Broken(guarantees ...Guarantee) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var broken []string
	for _, g := range guarantees {
		for _, b := range h.broken {
			if strings.HasPrefix(b, string(g)+": ") {
				broken = append(broken, b)
			}
		}
		switch g {
		case AtLeastOnce:
			broken = append(broken, h.unfinished()...)
		case KeyOrder:
			broken = append(broken, h.overtaken()...)
		case OneAtATime, CommitsBehind: // seen while it happened
		}
	}
	return broken
}

func (h *History) unfinished() []string {
	missed := make(map[int32][]int64)
	for c := range h.produced {
		if !h.finished[c] {
			missed[c.partition] = append(missed[c.partition], c.offset)
		}
	}
	var broken []string
	for p, offsets := range missed {
		slices.Sort(offsets)
		broken = append(broken, fmt.Sprintf("%s: of partition %d, %s were never finished", AtLeastOnce, p, some(offsets)))
	}
	sort.Strings(broken)
	return broken
}

func (h *History) overtaken() []string {
	var broken []string
	bad := func(format string, args ...any) {
		broken = append(broken, string(KeyOrder)+": "+fmt.Sprintf(format, args...))
	}
	done := make(map[coord]bool)
	last := make(map[int]int64) // by processor
	for _, r := range h.runs {
		if _, ok := h.produced[coord{r.Partition, r.Offset}]; !ok {
			continue // deleted, or of a log that was cut off
		}
		if at, ok := last[r.Processor]; ok && r.Offset <= at {
			bad("processor %d of %s went back from %d to %d of partition %d", r.Processor, r.Member, at, r.Offset, r.Partition)
		}
		if r.HasKey {
			offsets := h.byKey[keyOf{r.Partition, r.Key}]
			if i, ok := slices.BinarySearch(offsets, r.Offset); ok && i > 0 {
				if before := offsets[i-1]; !done[coord{r.Partition, before}] && h.has(r.Partition, before) {
					bad("%d of partition %d ran on %s before %d, which has the same key %q and was not finished",
						r.Offset, r.Partition, r.Member, before, r.Key)
				}
			}
		}
		settled := r.Outcome.Kind == processor.Done || r.Outcome.Kind == processor.Failed && h.SkipsFailures
		if settled {
			done[coord{r.Partition, r.Offset}] = true
			last[r.Processor] = r.Offset
		}
	}
	return broken
}

func (h *History) has(partition int32, offset int64) bool {
	_, ok := h.produced[coord{partition, offset}]
	return ok
}
