package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/wasihost"
)

// maxHeldOutput bounds the lines that are held for a task until its outcome is
// known. What a task writes beyond it is shown at once.
const maxHeldOutput = 64 << 10

// taskReport prints what happened to each task, with the lines that the module
// wrote for it beneath:
//
//	tasks/0@12 done in 1.2ms
//	    stdout: hello
//
// Lanes call it at the same time.
type taskReport struct {
	*app
	format logFormatValue
	quiet  bool

	mu   sync.Mutex // guards held
	held map[taskID]*heldOutput
}

type taskID struct {
	topic     string
	partition int32
	offset    int64
}

type heldOutput struct {
	lines []heldLine
	bytes int
}

type heldLine struct {
	stream wasihost.Stream
	text   string
}

func newTaskReport(a *app, format logFormatValue, quiet bool) *taskReport {
	return &taskReport{app: a, format: format, quiet: quiet, held: map[taskID]*heldOutput{}}
}

// observer is what the consumer is to tell about tasks; nil where nobody wants to
// know, since being told makes it run one task at a time.
func (t *taskReport) observer() func(*processor.Record, processor.Outcome, time.Duration) {
	if t.quiet {
		return nil
	}
	return t.observe
}

// line takes what the module wrote: for task r, or for none while it starts.
func (t *taskReport) line(r *processor.Record, stream wasihost.Stream, text []byte) {
	if t.quiet {
		return
	}
	if r == nil {
		t.log.Info(string(text), "stream", stream.String())
		return
	}
	id := taskID{r.Topic, r.Partition, r.Offset}
	t.mu.Lock()
	h := t.held[id]
	if h == nil {
		h = &heldOutput{}
		t.held[id] = h
	}
	if fits := h.bytes+len(text) <= maxHeldOutput; fits {
		h.lines = append(h.lines, heldLine{stream, string(text)})
		h.bytes += len(text)
		t.mu.Unlock()
		return
	}
	h.lines = append(h.lines, heldLine{stream, string(text)})
	lines := h.lines
	*h = heldOutput{bytes: maxHeldOutput} // what follows is not held either
	t.mu.Unlock()
	t.show(id, lines)
}

// show logs lines of a task whose outcome is not known yet.
func (t *taskReport) show(id taskID, lines []heldLine) {
	for _, l := range lines {
		t.log.Info(l.text, "stream", l.stream.String(), "topic", id.topic, "partition", id.partition, "offset", id.offset)
	}
}

// observe prints the task's outcome and its lines. The reason of a failure is
// told by whoever acts on it: the consumer, which skips the record, or the last
// message of the process.
func (t *taskReport) observe(r *processor.Record, o processor.Outcome, took time.Duration) {
	id := taskID{r.Topic, r.Partition, r.Offset}
	t.mu.Lock()
	var lines []heldLine
	if h := t.held[id]; h != nil {
		lines = h.lines
		delete(t.held, id)
	}
	t.mu.Unlock()
	if t.format == formatJSON {
		t.show(id, lines)
		t.log.Info("task "+o.Kind.String(), "topic", id.topic, "partition", id.partition, "offset", id.offset,
			"outcome", o.Kind.String(), "seconds", took.Seconds())
		return
	}
	b := fmt.Appendf(nil, "%s/%d@%d %s in %s\n", id.topic, id.partition, id.offset, o.Kind, roundDuration(took))
	for _, l := range lines {
		b = fmt.Appendf(b, "    %s:", l.stream)
		if l.text != "" {
			b = appendClean(append(b, ' '), l.text)
		}
		b = append(b, '\n')
	}
	// Nowhere is left to report an error of standard error.
	_, _ = t.console.Write(b)
}

// roundDuration keeps about three digits, which is what a person reads.
func roundDuration(d time.Duration) time.Duration {
	for unit := time.Nanosecond; ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}
