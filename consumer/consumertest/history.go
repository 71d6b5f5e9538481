package consumertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/wasmton/wasmton/processor"
)

// History is what happened to the records of one topic, as seen from outside of the
// consumers. It is safe for concurrent use.
type History struct {
	// SkipsFailures says that a failed record counts as finished.
	SkipsFailures bool

	mu       sync.Mutex // guards all below
	produced map[coord]produced
	byKey    map[keyOf][]int64 // offsets in order
	runs     []Run
	finished map[coord]bool
	running  map[keyOf]int // the processor that is at the key
	broken   []string      // what was seen to break while it happened
	commits  []Commit
	made     int // processors
}

type coord struct {
	partition int32
	offset    int64
}

type keyOf struct {
	partition int32
	key       string
}

type produced struct {
	key    string
	hasKey bool
}

// Run is one record that was given to one Processor.
type Run struct {
	Member    string
	Processor int // numbered in the order in which they were made
	Lane      processor.Lane
	Partition int32
	Offset    int64
	Key       string
	HasKey    bool
	Outcome   processor.Outcome
	Attempt   int
	At        time.Time // when the batch began
}

// Commit is one offset of one commit request.
type Commit struct {
	Member    string
	Partition int32
	Offset    int64
	At        time.Time
}

// NewHistory returns an empty history.
func NewHistory() *History {
	return &History{
		produced: make(map[coord]produced),
		byKey:    make(map[keyOf][]int64),
		finished: make(map[coord]bool),
		running:  make(map[keyOf]int),
	}
}

// Produced adds a record that is in the log. key may be nil.
func (h *History) Produced(partition int32, offset int64, key []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.produced[coord{partition, offset}] = produced{string(key), key != nil}
	if key != nil {
		k := keyOf{partition, string(key)}
		h.byKey[k] = append(h.byKey[k], offset)
	}
}

// Gone says that records below offset are not in the log any more.
func (h *History) Gone(partition int32, offset int64) {
	h.forget(func(c coord) bool { return c.partition == partition && c.offset < offset })
}

// Hidden says that records from offset on are not for readers to see.
func (h *History) Hidden(partition int32, offset int64) {
	h.forget(func(c coord) bool { return c.partition == partition && c.offset >= offset })
}

func (h *History) forget(which func(coord) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.produced {
		if which(c) {
			delete(h.produced, c)
		}
	}
}

// Only says which records of a partition are still in the log.
func (h *History) Only(partition int32, offsets []int64) {
	h.forget(func(c coord) bool { return c.partition == partition && !slices.Contains(offsets, c.offset) })
}

// Committing checks a commit when it is made, and keeps it.
func (h *History) Committing(member string, partition int32, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commits = append(h.commits, Commit{member, partition, offset, time.Now()})
	var missed []int64
	for c := range h.produced {
		if c.partition == partition && c.offset < offset && !h.finished[c] {
			missed = append(missed, c.offset)
		}
	}
	if len(missed) > 0 {
		slices.Sort(missed)
		h.breaks(CommitsBehind, "%s committed %d of partition %d, and %s below it were not finished",
			member, offset, partition, some(missed))
	}
}

// Runs returns all runs, in the order in which their batches ended.
func (h *History) Runs() []Run {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Run(nil), h.runs...)
}

// Commits returns all offsets that were sent to be committed, in order.
func (h *History) Commits() []Commit {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Commit(nil), h.commits...)
}

// Finished returns how many records are finished.
func (h *History) Finished() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.finished)
}

// Watch returns a Factory that makes Processors of f and writes down what they do.
func (h *History) Watch(member string, f processor.Factory) processor.Factory {
	return watched{h, member, f}
}

type watched struct {
	h      *History
	member string
	f      processor.Factory
}

func (w watched) New(ctx context.Context, lane processor.Lane) (processor.Processor, error) {
	p, err := w.f.New(ctx, lane)
	if err != nil || p == nil {
		return nil, err
	}
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	w.h.made++
	return &watchedProcessor{watched: w, lane: lane, p: p, number: w.h.made, last: -1}, nil
}

type watchedProcessor struct {
	watched
	lane   processor.Lane
	p      processor.Processor
	number int
	last   int64 // the highest offset that was finished here
	closed bool
}

func (w *watchedProcessor) Process(ctx context.Context, batch []processor.Record, outcomes []processor.Outcome) {
	w.begin(batch)
	at := time.Now()
	panicked := true
	defer func() { w.end(at, batch, outcomes, panicked) }()
	w.p.Process(ctx, batch, outcomes)
	panicked = false
}

func (w *watchedProcessor) begin(batch []processor.Record) {
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	if w.closed {
		w.h.breaks(KeyOrder, "processor %d ran after it was closed", w.number)
	}
	for i := range batch {
		r := &batch[i]
		if r.Partition != w.lane.Partition {
			w.h.breaks(KeyOrder, "%s ran in a lane of partition %d", r.Coordinates(), w.lane.Partition)
		}
		if r.Key == nil {
			continue
		}
		k := keyOf{r.Partition, string(r.Key)}
		if other, ok := w.h.running[k]; ok && other != w.number {
			w.h.breaks(OneAtATime, "%s with key %q began while another record of that key ran", r.Coordinates(), r.Key)
		}
		w.h.running[k] = w.number
	}
}

func (w *watchedProcessor) end(at time.Time, batch []processor.Record, outcomes []processor.Outcome, panicked bool) {
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	for i := range batch {
		r := &batch[i]
		if k := (keyOf{r.Partition, string(r.Key)}); w.h.running[k] == w.number {
			delete(w.h.running, k)
		}
	}
	for i := range batch {
		r := &batch[i]
		o := outcomes[i]
		if o.Kind == processor.NotRun && panicked {
			o = processor.Outcome{Kind: processor.Failed} // that is how a panic counts
		}
		if o.Kind == processor.NotRun {
			break
		}
		w.h.runs = append(w.h.runs, Run{
			Member: w.member, Processor: w.number, Lane: w.lane, Partition: r.Partition, Offset: r.Offset,
			Key: string(r.Key), HasKey: r.Key != nil, Outcome: o, Attempt: r.Attempt, At: at,
		})
		if o.Kind == processor.Done || o.Kind == processor.Failed && w.h.SkipsFailures {
			w.h.finished[coord{r.Partition, r.Offset}] = true
		}
		if o.Kind != processor.Done {
			break
		}
	}
}

func (w *watchedProcessor) Close() error {
	w.h.mu.Lock()
	if w.closed {
		w.h.breaks(KeyOrder, "processor %d was closed twice", w.number)
	}
	w.closed = true
	w.h.mu.Unlock()
	return w.p.Close()
}

// breaks writes down that a guarantee was seen to break. The lock is held.
func (h *History) breaks(g Guarantee, format string, args ...any) {
	h.broken = append(h.broken, string(g)+": "+fmt.Sprintf(format, args...))
}

// some names a few of many offsets.
func some(offsets []int64) string {
	const few = 5
	if len(offsets) <= few {
		return fmt.Sprintf("%d", offsets)
	}
	return fmt.Sprintf("%d and %d more", offsets[:few], len(offsets)-few)
}
