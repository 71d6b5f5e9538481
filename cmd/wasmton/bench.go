package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/processor/wasm"
	"github.com/wasmton/wasmton/wasihost"
)

const benchLong = `Measure what a task costs in a module, without Kafka: records are made up and handed
to the same code that the main form hands fetched ones to (package processor/wasm).
What a broker, the network and commits would add is not in it.

It ends with one line on standard output:

  ns_per_task=23.1 allocs_per_task=0.000 tasks_per_second=43290043

ns_per_task is the time that one lane takes for a task, allocs_per_task counts what
wasmton allocates for it and nothing of the module's own, tasks_per_second is all
lanes together. The figures are those of the median of five rounds. A batch is what
is run in one call into the module's engine, if it is not too large: tasks one at a
time (--batch 1) show what that call costs.

A task that fails ends it, with the reason and exit code 1. What the module prints is
thrown away; "wasmton dev" shows it.`

const benchExample = `  # a task of 100 bytes
  wasmton bench processor.wasm

  # tasks that the module understands, on two lanes
  wasmton bench --lines tasks.jsonl --lanes 2 --dir /tmp::/ processor.wasm`

// benchOptions are the flags of bench.
type benchOptions struct {
	*options
	size      byteSize
	batch     positiveInt
	lanes     positiveInt
	tasks     positiveInt // 0: as many as it takes
	taskFiles []string
	lines     string
}

const benchTopic = "bench" // of the records that are made up

// guestFlags are those of the main form that a module can be measured under.
var guestFlags = []string{
	"dir", "env", "arg", "memory-limit", "task-timeout", "max-instances",
	"stack-limit", "table-limit", "max-open-files", "log-limit", "cache-dir",
	"recycle-memory", "recycle-tasks", "recycle-after",
	"log-format", "verbose", "quiet",
}

func newBenchCommand(a *app) *cobra.Command {
	o := &benchOptions{
		options: newOptions(),
		size:    100,
		batch:   positiveInt{256, 1 << 16},
		lanes:   positiveInt{1, 10_000},
		tasks:   positiveInt{0, math.MaxInt},
	}
	cmd := &cobra.Command{
		Use:               "bench [flags] PROCESSOR.wasm",
		Short:             "Measure what a task costs in a module, without Kafka",
		Long:              benchLong,
		Example:           benchExample,
		Args:              oneModule("wasmton bench PROCESSOR.wasm"),
		ValidArgsFunction: completeModule,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := applyEnvironment(cmd.Flags(), a.lookupEnv); err != nil {
				return err
			}
			s, err := o.resolve(args[0], a.lookupEnv)
			if err != nil {
				return err
			}
			return a.runBench(cmd.Context(), o, s)
		},
	}
	o.addFlags(cmd.Flags())
	completeFlags(cmd)
	return cmd
}

func (o *benchOptions) addFlags(fs *pflag.FlagSet) {
	fs.Var(&o.size, "size", "bytes of a task that is made up")
	fs.StringArrayVar(&o.taskFiles, "task", nil, "take the content of this `file` for a task (repeatable: the files take turns)")
	fs.StringVar(&o.lines, "lines", "", "take the lines of this `file` for tasks, - for standard input (the lines take turns)")
	fs.Var(&o.batch, "batch", "tasks a batch")
	fs.Var(&o.lanes, "lanes", "lanes, each with an instance and a goroutine of its own")
	fs.Var(&o.tasks, "tasks", "tasks in all (default: as many as take two seconds)")
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.addProcessingFlags(all)
	for _, name := range guestFlags {
		fs.AddFlag(all.Lookup(name))
	}
}

// resolve checks the options; see options.resolve.
func (o *benchOptions) resolve(processor string, lookup func(string) (string, bool)) (*settings, error) {
	s := &settings{topic: benchTopic, processor: processor, options: o.options}
	problems := s.fill(lookup)
	if o.lines != "" && len(o.taskFiles) > 0 {
		problems = append(problems, errors.New("--task and --lines contradict each other"))
	}
	if o.size > maxTask {
		problems = append(problems, fmt.Errorf("--size %s: a task has at most %s", o.size, formatBytes(maxTask)))
	}
	return s, joinUsage(problems)
}

// runBench is the command bench.
func (a *app) runBench(ctx context.Context, o *benchOptions, s *settings) error {
	a.startLog(&s.logOptions)
	return a.untilStopped(ctx, func(ctx context.Context) error {
		tasks, err := a.benchTasks(ctx, o)
		if err != nil {
			return err
		}
		var printed atomic.Int64
		r, err := a.openRunner(ctx, s, func(*processor.Record, wasihost.Stream, []byte) { printed.Add(1) })
		if err != nil {
			return err
		}
		defer r.close()
		b := newBench(r.module, tasks, o.batch.n, o.lanes.n)
		defer b.close()
		a.log.Debug("measuring", "module", s.processor)
		rounds, err := b.run(ctx, o.tasks.n)
		if taskFailed := (*benchTaskError)(nil); errors.As(err, &taskFailed) && o.lines == "" && len(o.taskFiles) == 0 {
			return fmt.Errorf("%w\nTasks were made up; --task and --lines give it real ones.", err)
		}
		if stop := (*signalError)(nil); err != nil && errors.As(context.Cause(ctx), &stop) {
			return cutShort(stop)
		}
		if err != nil {
			return err
		}
		if n := printed.Load(); n > 0 {
			a.log.Info("the module printed lines, which are not shown here", "lines", n)
		}
		median := rounds[len(rounds)/2]
		a.log.Info("measured", "rounds", len(rounds), "tasks_a_round", median.tasks,
			"fastest_ns", fmt.Sprintf("%.1f", rounds[0].nanoseconds()), "slowest_ns", fmt.Sprintf("%.1f", rounds[len(rounds)-1].nanoseconds()))
		if _, err = fmt.Fprintln(a.stdout, median); err != nil {
			return fmt.Errorf("writing to standard output: %w", err)
		}
		return nil
	})
}

// benchTasks are the tasks to run in turn, at least one.
func (a *app) benchTasks(ctx context.Context, o *benchOptions) ([][]byte, error) {
	var tasks [][]byte
	switch {
	case o.lines != "":
		in := a.stdin
		if o.lines != "-" {
			f, err := os.Open(o.lines)
			if err != nil {
				return nil, refused(fmt.Errorf("--lines: %w", err))
			}
			defer func() { _ = f.Close() }() // only read
			in = f
		}
		for line := range readLines(ctx, in, maxTask) {
			if line.err != nil {
				return nil, line.err
			}
			tasks = append(tasks, line.text)
		}
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if len(tasks) == 0 {
			return nil, refused(fmt.Errorf("--lines %s: no line is in it", o.lines))
		}
	case len(o.taskFiles) > 0:
		for _, name := range o.taskFiles {
			task, err := os.ReadFile(name)
			if err != nil {
				return nil, refused(fmt.Errorf("--task: %w", err))
			}
			tasks = append(tasks, task)
		}
	default:
		tasks = [][]byte{bytes.Repeat([]byte("wasmton "), int(o.size)/8+1)[:o.size]}
	}
	return tasks, nil
}

// bench runs tasks in lanes.
type bench struct {
	module *wasm.Module
	lanes  []*benchLane
}

type benchLane struct {
	processor.Processor                    // nil before the first round
	records             []processor.Record // which come again and again; all lanes read them
	next                int                // the record whose turn it is
	outcomes            []processor.Outcome
}

// benchRound is one measurement.
type benchRound struct {
	tasks  int
	lanes  int
	took   time.Duration
	allocs uint64
}

func (r benchRound) nanoseconds() float64 {
	return float64(r.took.Nanoseconds()) * float64(r.lanes) / float64(r.tasks)
}

// String is the line that scripts read.
func (r benchRound) String() string {
	return fmt.Sprintf("ns_per_task=%.1f allocs_per_task=%.3f tasks_per_second=%.0f",
		r.nanoseconds(), float64(r.allocs)/float64(r.tasks), perSecond(int64(r.tasks), r.took))
}

func newBench(m *wasm.Module, tasks [][]byte, batch, lanes int) *bench {
	// The end of the records cuts a batch short, so there are many batches of them.
	// Each task is there as often as the others.
	least := max(batch, min(64*batch, 1<<16))
	records := make([]processor.Record, (least+len(tasks)-1)/len(tasks)*len(tasks))
	for i := range records {
		records[i] = processor.Record{Topic: benchTopic, Offset: int64(i), Value: tasks[i%len(tasks)], Attempt: 1}
	}
	b := &bench{module: m}
	for range lanes {
		b.lanes = append(b.lanes, &benchLane{records: records, outcomes: make([]processor.Outcome, batch)})
	}
	return b
}

func (b *bench) close() {
	for _, l := range b.lanes {
		if l.Processor != nil {
			_ = l.Close() // never fails for a guest
		}
	}
}

const (
	benchRounds = 5
	benchTime   = 400 * time.Millisecond // of a round, where the number of tasks is not given
)

// run measures rounds, and returns them with the fastest first. total is the number
// of all their tasks, 0 for as many as it takes.
func (b *bench) run(ctx context.Context, total int) ([]benchRound, error) {
	least := len(b.lanes) * len(b.lanes[0].outcomes)
	var sizes []int
	switch {
	case total == 0:
		size, err := b.calibrate(ctx, least)
		if err != nil {
			return nil, err
		}
		sizes = slices.Repeat([]int{size}, benchRounds)
	case total < benchRounds*least:
		sizes = []int{total}
	default:
		sizes = slices.Repeat([]int{total / benchRounds}, benchRounds)
		sizes[0] += total % benchRounds
	}
	var rounds []benchRound
	for _, size := range sizes {
		r, err := b.round(ctx, size)
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, r)
	}
	slices.SortFunc(rounds, func(x, y benchRound) int {
		switch a, b := x.nanoseconds(), y.nanoseconds(); {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
	return rounds, nil
}

// calibrate finds a size for rounds that take about benchTime, and warms up meanwhile.
func (b *bench) calibrate(ctx context.Context, size int) (int, error) {
	for {
		r, err := b.round(ctx, size)
		switch {
		case err != nil:
			return 0, err
		case r.took >= benchTime/2:
			return size, nil
		case r.took >= benchTime/20:
			return int(float64(size) * float64(benchTime) / float64(r.took)), nil
		}
		size *= 4
	}
}

// round runs n tasks, shared out among the lanes.
func (b *bench) round(ctx context.Context, n int) (benchRound, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(b.lanes))
	var before, after runtime.MemStats
	var working sync.WaitGroup
	runtime.ReadMemStats(&before)
	begun := time.Now()
	for i, l := range b.lanes {
		share := n / len(b.lanes)
		if i < n%len(b.lanes) {
			share++
		}
		working.Go(func() {
			if errs[i] = l.run(ctx, b.module, share); errs[i] != nil {
				cancel() // the others
			}
		})
	}
	working.Wait()
	r := benchRound{tasks: n, lanes: len(b.lanes), took: time.Since(begun)}
	runtime.ReadMemStats(&after)
	r.allocs = after.Mallocs - before.Mallocs
	return r, firstFailure(errs)
}

// firstFailure is an error that is more than the interruption of a lane by another's.
func firstFailure(errs []error) error {
	var interrupted error
	for _, err := range errs {
		if err == nil {
			continue
		}
		if !errors.Is(err, wasihost.ErrInterrupted) && !errors.Is(err, context.Canceled) {
			return err
		}
		interrupted = err
	}
	return interrupted
}

// benchTaskError is a task that failed.
type benchTaskError struct {
	size int
	err  error
}

func (e *benchTaskError) Error() string {
	return fmt.Sprintf("a task of %d bytes failed: %v", e.size, e.err)
}
func (e *benchTaskError) Unwrap() error { return e.err }

// run runs n tasks.
func (l *benchLane) run(ctx context.Context, m *wasm.Module, n int) error {
	if l.Processor == nil {
		p, err := m.New(ctx, processor.Lane{Topic: benchTopic})
		if err != nil {
			return err
		}
		l.Processor = p
	}
	for n > 0 {
		batch := l.records[l.next:]
		batch = batch[:min(n, len(batch), len(l.outcomes))]
		l.next = (l.next + len(batch)) % len(l.records)
		outcomes := l.outcomes[:len(batch)]
		clear(outcomes)
		l.Process(ctx, batch, outcomes)
		for i := range outcomes {
			switch o := &outcomes[i]; {
			case o.Kind == processor.Done:
			case o.Kind == processor.Interrupted:
				return o.Err
			default:
				return &benchTaskError{len(batch[i].Value), o.Err}
			}
		}
		n -= len(batch)
	}
	return nil
}
