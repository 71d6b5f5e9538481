package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/wasmton/wasmton/consumer"
)

const devLong = `Try a module without a Kafka cluster: a broker runs inside the process, each line
of standard input becomes a task, and what happened to each task is printed.

It ends at the end of input, when all tasks have been processed, with the summary
and the exit codes of "wasmton --until-end". With --keep it goes on as a broker,
which any Kafka client can use, and processes what is produced to its topic.

A line's end, \n or \r\n, is not part of the task; an empty line is an empty task.
The largest task is what a Kafka broker takes by default, about 100 MiB.`

const devExample = `  # three tasks
  printf 'one\ntwo\nthree\n' | wasmton dev processor.wasm

  # keys: what stands before the first colon
  printf 'a:1\nb:2\na:3\n' | wasmton dev --key-separator : --concurrency 4 processor.wasm

  # a broker for other clients, with topics that outlive it
  wasmton dev --keep --data ./topics processor.wasm < /dev/null`

// devOptions are the flags of dev.
type devOptions struct {
	*options
	topic        string
	partitions   topicPartitions
	listen       string
	data         string
	keySeparator string
	keep         bool
}

func newDevCommand(a *app) *cobra.Command {
	o := &devOptions{options: newOptions()}
	// Commits cost nothing where the broker is in the process, and the end of the
	// input waits for them.
	o.commitInterval = positiveDuration(100 * time.Millisecond)
	cmd := &cobra.Command{
		Use:               "dev [flags] PROCESSOR.wasm",
		Short:             "Try a module without Kafka: each line of standard input is a task",
		Long:              devLong,
		Example:           devExample,
		Args:              oneModule("wasmton dev PROCESSOR.wasm"),
		ValidArgsFunction: completeModule,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := applyEnvironment(cmd.Flags(), a.lookupEnv); err != nil {
				return err
			}
			s, err := o.resolve(args[0], a.lookupEnv)
			if err != nil {
				return err
			}
			return a.runDev(cmd.Context(), o, s)
		},
	}
	o.addFlags(cmd.Flags())
	completeFlags(cmd)
	return cmd
}

func (o *devOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.topic, "topic", "tasks", "`name` of the topic")
	fs.Var(&o.partitions, "partitions", "partitions of the topic; with one, tasks are processed in the order of the input (default 1)")
	fs.StringVar(&o.listen, "listen", "", "`host:port` of the broker (default 127.0.0.1:9092, or another port where that is taken)")
	fs.StringVar(&o.data, "data", "", "keep the broker's topics in this `directory`")
	fs.StringVar(&o.keySeparator, "key-separator", "", "what stands between a line's key and its task, such as : or \\t; a line without it has no key")
	fs.BoolVar(&o.keep, "keep", false, "go on as a broker when the input has ended")
	o.addProcessingFlags(fs)
}

// resolve checks the options; see options.resolve.
func (o *devOptions) resolve(processor string, lookup func(string) (string, bool)) (*settings, error) {
	s := &settings{topic: o.topic, processor: processor, options: o.options}
	problems := s.fill(lookup)
	s.toTheEnd = true
	if err := checkListen(o.listen); err != nil {
		problems = append(problems, fmt.Errorf("--listen %q: %w", o.listen, err))
	}
	if o.partitions < 0 {
		problems = append(problems, errors.New("--partitions: must be a number of partitions, 1 or more"))
	}
	if o.keySeparator != "" {
		separator, err := strconv.Unquote(`"` + strings.ReplaceAll(o.keySeparator, `"`, `\"`) + `"`)
		if err != nil {
			problems = append(problems, fmt.Errorf("--key-separator %q: write a backslash as \\\\, a tab as \\t", o.keySeparator))
		}
		o.keySeparator = separator
	}
	return s, joinUsage(problems)
}

// errInputDone ends the consumer when the input has ended and its tasks have
// been processed.
var errInputDone = errors.New("the input has ended")

// runDev is the command dev.
func (a *app) runDev(ctx context.Context, o *devOptions, s *settings) error {
	a.startLog(&s.logOptions)
	return a.untilStopped(ctx, func(ctx context.Context) error {
		report := newTaskReport(a, s.logFormat, s.quiet)
		r, err := a.openRunner(ctx, s, report.line)
		if err != nil {
			return s.ended(ctx, err)
		}
		defer r.close()
		broker, err := startBroker(o.listen, o.data)
		if err != nil {
			return err
		}
		defer broker.close()
		partitions, err := broker.ensureTopic(o.topic, int(o.partitions))
		if err != nil {
			return err
		}
		a.log.Info("broker ready", "address", broker.addr, "topic", o.topic, "partitions", partitions)

		d := &devRun{app: a, o: o, broker: broker, group: s.group, started: r.started}
		cfg := s.consumer
		cfg.Brokers = []string{broker.addr}
		cfg.Observe = report.observer()
		return d.run(ctx, func(ctx context.Context) error { return r.consume(ctx, cfg) })
	})
}

// devRun feeds the input to the broker while the consumer runs.
type devRun struct {
	*app
	o      *devOptions
	broker *devBroker
	group  string
	// started is closed when the consumer has: there is a summary then, also of an
	// empty input.
	started <-chan struct{}
	// fed is set when the input has ended and all its tasks are processed and
	// committed: from then on a stop cuts nothing short.
	fed atomic.Bool
}

// run consumes until the input has been processed, or with --keep until it is
// stopped.
func (d *devRun) run(ctx context.Context, consume func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var feeding sync.WaitGroup
	feeding.Go(func() {
		switch err := d.feed(ctx); {
		case err != nil:
			end(err)
		case d.o.keep:
			d.sayHowToProduce()
		default:
			end(errInputDone)
		}
	})
	err := consume(ctx)
	end(err)
	feeding.Wait()

	var stop *signalError
	var record *consumer.RecordError
	switch cause := context.Cause(ctx); {
	case errors.As(err, &record) && d.o.data == "":
		// Nothing outlives the broker, so there is no next start to speak of.
		return &exitError{exitFailed, errors.New(record.Error() + "\nTo go on past tasks that fail: --on-failure skip")}
	case err != nil:
		return err
	case d.fed.Load():
		return nil
	case errors.As(cause, &stop):
		return cutShort(stop)
	default:
		return cause
	}
}

// feed produces the lines of the input and waits until all that is in the topic
// then is settled and committed: the input's tasks, and what an earlier run left
// in the data directory.
func (d *devRun) feed(ctx context.Context) error {
	if f, ok := d.stdin.(*os.File); ok && isTerminal(f) {
		d.log.Info("type one task a line; Ctrl-D ends the input")
	}
	err := produceLines(ctx, d.broker.addr, d.o.topic, readLines(ctx, d.stdin, maxTask), d.o.keySeparator)
	if err != nil {
		return err
	}
	ends := d.broker.PartitionInfos(d.o.topic)
	_, err = d.broker.WaitGroupInfo(ctx, d.group, func(g *kfake.GroupInfo) bool {
		for _, p := range ends {
			if p.LastStableOffset > 0 && (g == nil || g.Commits[d.o.topic][p.Partition].Offset < p.LastStableOffset) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return context.Cause(ctx)
	}
	select {
	case <-d.started:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	d.fed.Store(true)
	return nil
}

func (d *devRun) sayHowToProduce() {
	d.log.Info("the input has ended; the broker goes on until Ctrl-C, for example: "+
		"kcat -P -b "+d.broker.addr+" -t "+d.o.topic, "address", d.broker.addr)
}
