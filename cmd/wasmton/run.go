package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/processor/wasm"
	"github.com/wasmton/wasmton/wasihost"
)

// runTopic is the main form: it processes a topic until it is stopped, fails, or
// reaches the end.
func (a *app) runTopic(ctx context.Context, s *settings) error {
	a.startLog(&s.logOptions)
	return a.untilStopped(ctx, func(ctx context.Context) error {
		r, err := a.openRunner(ctx, s, nil)
		if err != nil {
			return s.ended(ctx, err)
		}
		defer r.close()
		err = r.consume(ctx, s.consumer)
		if errors.Is(err, consumer.ErrTopicMissing) && s.createTopic.topicPartitions != 0 && ctx.Err() == nil {
			// Only now: a broker that can't be reached has been told of by then, in the
			// consumer's words.
			if err = createTopic(ctx, s, a.log); err == nil {
				err = r.consume(ctx, s.consumer)
			}
		}
		return s.ended(ctx, err)
	})
}

// untilStopped runs work under the process's signals.
func (a *app) untilStopped(ctx context.Context, work func(context.Context) error) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, stopSignals...)
	defer signal.Stop(signals)
	return underSignals(ctx, signals, func() {
		a.log.Info("stopping: finishing what runs (press Ctrl-C again to leave at once)")
	}, work)
}

// ended says how a run ends that returned err while ctx may have been cancelled
// by a signal. A stop is what the main form is ended with, so it is no error. A
// run that was to reach an end, and did not, must not look like one that did.
func (s *settings) ended(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause != nil && (errors.Is(err, cause) || errors.Is(err, ctx.Err()) || errors.Is(err, wasihost.ErrInterrupted)) {
		err = nil
	}
	var stop *signalError
	if err == nil && s.toTheEnd && errors.As(cause, &stop) {
		return cutShort(stop)
	}
	return err
}

func cutShort(by *signalError) error {
	return &exitError{by.code(), errors.New("stopped before the end was reached")}
}

// runner holds what a run needs beside Kafka: the engine, the module, and the
// status server.
type runner struct {
	*app
	s      *settings
	engine *wasihost.Engine
	module *wasm.Module
	status *status
	reload *reloader
	// started is closed when the broker was reached and the group is about to be
	// joined: a run that gets there ends with a summary.
	started chan struct{}
	began   sync.Once // closes started
	// abandoned is set when lanes still ran at the end: what they use can't be
	// freed under them.
	abandoned bool
}

// openRunner makes the runner. It checks the module's file, the contract and the
// grants, in this order, and starts a first instance; errors of these lead to
// exit code 2. output gets the guest's lines; nil means the log.
func (a *app) openRunner(ctx context.Context, s *settings, output func(*processor.Record, wasihost.Stream, []byte)) (_ *runner, err error) {
	r := &runner{app: a, s: s, status: newStatus(), started: make(chan struct{})}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	r.reload = newReloader(a, s.processor, r.status.registry)
	if r.engine, err = a.newEngine(&s.engineOptions); err != nil {
		return nil, err
	}
	file := fileDigest(s.processor) // before it is compiled: later, it may be another one
	guest, err := compileModule(r.engine, s.processor, a.console)
	if err != nil {
		return nil, err
	}
	if err := checkModule(guest, &s.guest); err != nil {
		return nil, err
	}
	a.log.Debug("module ready", "module", guest.Name(), "bytes", guest.Size(), "code", string(guest.Origin()), "took", guest.LoadTime())
	if r.module, err = wasm.New(ctx, guest, wasm.Config{
		Guest:        s.guest,
		MaxInstances: s.maxInstances.n,
		Recycle:      s.recycle(),
		Output:       output,
		Trace:        s.trace(a.log),
		Logger:       a.log,
		Metrics:      r.status.registry,
	}); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, refused(fmt.Errorf("%s: %w", s.processor, err))
	}
	if err := r.reload.start(r.engine, r.module, file, s.watch); err != nil {
		return nil, err
	}
	r.status.reload = r.reload.handler(s.allowReload)
	return r, r.status.listen(s.metricsAddr, a.log)
}

func (r *runner) close() {
	r.reload.stop()
	r.status.close()
	if r.abandoned {
		return
	}
	if r.module != nil {
		r.module.Close()
	}
	if r.engine != nil {
		r.engine.Close()
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// consume runs a consumer to its end, with progress meanwhile and a summary
// behind it.
func (r *runner) consume(ctx context.Context, cfg consumer.Config) error {
	cfg.Factory = r.module
	cfg.Logger = r.log
	cfg.Metrics = r.status.registry
	cfg.ClientOptions = append(slices.Clip(cfg.ClientOptions), kgo.WithHooks(r.status))
	cfg.Started = func(info consumer.StartInfo) {
		r.began.Do(func() { close(r.started) })
		r.sayStart(info)
	}
	cfg.OtherMembers = r.warnOfStrangers
	c, err := consumer.New(cfg)
	if err != nil {
		return refused(err)
	}
	ended := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		r.status.stopping.Store(true)
		select {
		case <-time.After(time.Duration(r.s.drainTimeout)):
			r.log.Warn("the drain timeout is over: cutting short what still runs; it is run again at the next start",
				"drain_timeout", time.Duration(r.s.drainTimeout))
		case <-ended:
		}
	})
	defer unwatch()
	defer close(ended)

	hide := r.showProgress(c.Stats)
	err = c.Run(ctx)
	hide() // before the summary, which may go to the same terminal

	var drain *consumer.DrainError
	r.abandoned = errors.As(err, &drain)
	if isClosed(r.started) {
		if _, werr := fmt.Fprintln(r.stdout, summaryLine(c.Stats())); werr != nil && err == nil {
			err = fmt.Errorf("writing the summary to standard output: %w", werr)
		}
	}
	return err
}

// showProgress shows progress until hide is called.
func (r *runner) showProgress(stats func() consumer.Stats) (hide func()) {
	if r.s.quiet {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var showing sync.WaitGroup
	p := &progress{console: r.console, log: r.log, stats: stats}
	showing.Go(func() { p.run(ctx) })
	return func() {
		cancel()
		showing.Wait()
	}
}

// sayStart tells what the group looked like when we came.
func (r *runner) sayStart(info consumer.StartInfo) {
	r.log.Info("joining the group", "group", info.Group, "topic", info.Topic,
		"partitions", info.Partitions, "committed", committedText(info))
	if reason := whyIgnored(info); r.s.from.set && reason != "" {
		r.log.Warn("--from "+r.s.from.String()+" is ignored: "+reason, "group", info.Group)
	}
	r.warnOfStrangers(info.Members)
}

// whyIgnored says why --from has no effect, or is "". To the consumer an earliest
// that is asked for is the same as one that is not; to a person it may matter.
func whyIgnored(info consumer.StartInfo) string {
	switch {
	case info.FromIgnored != "":
		return info.FromIgnored
	case len(info.Committed) > 0 && len(info.Committed) < info.Partitions:
		return "the group has committed offsets, and goes on from there in their partitions"
	case len(info.Committed) > 0:
		return "the group has committed offsets, and goes on from there"
	}
	return ""
}

// committedText is the group's committed offsets for people. Topics may have
// thousands of partitions, and a line is enough.
func committedText(info consumer.StartInfo) string {
	const most = 12
	if len(info.Committed) == 0 {
		return "none, starting at " + info.From.String()
	}
	var b strings.Builder
	for i, p := range slices.Sorted(maps.Keys(info.Committed)) {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(info.Committed)-most)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d@%d", p, info.Committed[p])
	}
	if rest := info.Partitions - len(info.Committed); rest > 0 {
		fmt.Fprintf(&b, "; %s without, starting at %s", counted(rest, "partition"), info.From)
	}
	return b.String()
}

// warnOfStrangers warns of members that run another module: each record is
// processed by one member only, so two modules in a group take records from each
// other. Members are known by their client ids. One that was given by hand tells
// nothing of the module.
func (r *runner) warnOfStrangers(members []consumer.Member) {
	if !strings.HasPrefix(r.s.clientID, clientIDPrefix) {
		return
	}
	for _, m := range slices.SortedFunc(slices.Values(members), func(a, b consumer.Member) int { return cmp.Compare(a.ID, b.ID) }) {
		if module, ours := strings.CutPrefix(m.ClientID, clientIDPrefix); ours && m.ClientID != r.s.clientID {
			r.log.Warn("another member of the group runs another module: the records are shared out between the two; give each module a group of its own with --group",
				"group", r.s.group, "module", module, "member", m.ID, "host", m.Host)
		}
	}
}
