//go:build synctests

package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/consumer/consumertest"
	"github.com/wasmton/wasmton/processor"
)

var errBad = errors.New("a bad record")

// failsAt returns a processor that fails the records with these offsets.
func failsAt(offsets ...int64) processor.Func {
	return func(_ context.Context, r *processor.Record) error {
		if slices.Contains(offsets, r.Offset) {
			return errBad
		}
		return nil
	}
}

// keyed returns n records of partition 0 whose keys go round.
func keyed(n, keys int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Key: fmt.Appendf(nil, "key-%d", i%keys), Value: fmt.Appendf(nil, "value-%d", i)}
	}
	return records
}

func TestAFailureStopsTheConsumerAtTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		cluster.ProduceRecords(keyed(100, 5)...)
		other := keyed(50, 5)
		for _, r := range other {
			r.Partition = 1
		}
		cluster.ProduceRecords(other...)
		a := cluster.Start("a", consumer.Config{Factory: processor.Func(func(_ context.Context, r *processor.Record) error {
			if r.Partition == 0 && r.Offset == 41 {
				return errBad
			}
			return nil
		})})
		err := a.Wait()
		var failed *consumer.RecordError
		if !errors.As(err, &failed) || failed.Topic != consumertest.Topic || failed.Partition != 0 ||
			failed.Offset != 41 || string(failed.Key) != "key-1" || !errors.Is(err, errBad) {
			t.Fatalf("Run returned %v", err)
		}
		if want := "tasks/0@41 failed (key sha256:be2974546978e373): a bad record"; err.Error() != want {
			t.Errorf("the error says %q, want %q", err, want)
		}
		// Nothing past the record is committed, and all before it is.
		if at := cluster.Committed(); at[0] != 41 || at[1] != 50 {
			t.Errorf("committed: %v", at)
		}
		if s := a.Stats(); s.Failed != 1 || s.Processed != 91 {
			t.Errorf("stats: %+v", s)
		}
		cluster.Check(t, consumertest.KeyOrder, consumertest.OneAtATime, consumertest.CommitsBehind)

		// The next start begins with the record.
		b := cluster.Start("b", consumer.Config{UntilEnd: true})
		if err := b.Wait(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
		if n := b.Stats().Processed; n != 59 {
			t.Errorf("%d records ran after the restart, want 59", n)
		}
	})
}

// Beside a failed record other lanes finish what they are at, and that is
// committed as far as nothing is left out.
func TestAFailureDrainsTheOtherLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(
			&kgo.Record{Key: []byte("slow")},  // 0
			&kgo.Record{Key: []byte("other")}, // 1
			&kgo.Record{Key: []byte("bad")},   // 2
			&kgo.Record{Key: []byte("bad")},   // 3
		)
		a := cluster.Start("a", consumer.Config{Concurrency: 64, Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
			switch string(r.Key) {
			case "slow":
				return takes(10*time.Second)(ctx, r)
			case "bad":
				time.Sleep(time.Second)
				return errBad
			}
			return nil
		})})
		err := a.Wait()
		if !errors.Is(err, errBad) {
			t.Fatalf("Run returned %v", err)
		}
		if at := cluster.Committed()[0]; at != 2 {
			t.Errorf("committed %d, want 2: all before the record that failed", at)
		}
		for _, r := range cluster.Runs() {
			if r.Offset == 3 {
				t.Error("a record ran although its key had failed")
			}
		}
	})
}

func TestSkipLogsCountsAndGoesOn(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			cluster := consumertest.NewCluster(t, 1)
			cluster.SkipsFailures = true
			cluster.ProduceRecords(keyed(100, 5)...)
			log := new(warnings)
			a := cluster.Start("a", consumer.Config{
				Concurrency: lanes, UntilEnd: true, OnFailure: consumer.Skip,
				Factory: failsAt(0, 41, 42, 99), Logger: slog.New(log),
			})
			if err := a.Wait(); err != nil {
				t.Fatal(err)
			}
			if s := a.Stats(); s.Processed != 96 || s.Failed != 4 {
				t.Errorf("stats: %+v", s)
			}
			if at := cluster.Committed()[0]; at != 100 {
				t.Errorf("committed %d, want 100", at)
			}
			cluster.Check(t, consumertest.All...)
			lines := log.all()
			if len(lines) != 4 {
				t.Fatalf("logged: %q", lines)
			}
			for _, want := range []string{"offset=0 ", "offset=41 ", "offset=42 ", "offset=99 "} {
				found := false
				for _, line := range lines {
					found = found || strings.HasPrefix(line, "ERROR a record failed and is skipped topic=tasks partition=0 "+want)
				}
				if !found {
					t.Errorf("no line has %s: %q", want, lines)
				}
			}
		})
	}
}

// batches is a Processor whose Process is a function.
type batches func(ctx context.Context, batch []processor.Record, outcomes []processor.Outcome)

func (b batches) New(context.Context, processor.Lane) (processor.Processor, error) {
	return b, nil
}

func (b batches) Process(ctx context.Context, batch []processor.Record, outcomes []processor.Outcome) {
	b(ctx, batch, outcomes)
}

func (batches) Close() error { return nil }

func TestMisbehavingProcessors(t *testing.T) {
	done := func(outcomes []processor.Outcome) {
		for i := range outcomes {
			outcomes[i].Kind = processor.Done
		}
	}
	for name, c := range map[string]struct {
		process batches
		offset  int64  // of the record that stops the consumer
		want    string // how its error begins; empty for none
	}{
		"runs nothing": {
			func(context.Context, []processor.Record, []processor.Outcome) {},
			0, "the processor returned without running the record",
		},
		"stops early of its own accord, and is given the rest": {
			func(_ context.Context, _ []processor.Record, outcomes []processor.Outcome) {
				outcomes[0].Kind = processor.Done
			}, 0, "",
		},
		"says it was interrupted when nothing interrupted it": {
			func(_ context.Context, _ []processor.Record, outcomes []processor.Outcome) {
				outcomes[0].Kind = processor.Interrupted
			}, 0, "the processor says that it was interrupted, but nothing interrupted it",
		},
		"fails without a reason": {
			func(_ context.Context, _ []processor.Record, outcomes []processor.Outcome) {
				outcomes[0].Kind = processor.Failed
			}, 0, "the processor gave no reason",
		},
		"gives an unknown outcome": {
			func(_ context.Context, _ []processor.Record, outcomes []processor.Outcome) {
				outcomes[0].Kind = 77
			}, 0, "the processor gave an unknown outcome: Kind(77)",
		},
		"panics before it did anything": {
			func(context.Context, []processor.Record, []processor.Outcome) { panic("oh") },
			0, "panic: oh",
		},
		"panics in the middle": {
			func(_ context.Context, batch []processor.Record, outcomes []processor.Outcome) {
				for i := range batch {
					if batch[i].Offset == 30 {
						panic("oh")
					}
					outcomes[i].Kind = processor.Done
				}
			}, 30, "panic: oh",
		},
		"panics after it did all": {
			func(_ context.Context, batch []processor.Record, outcomes []processor.Outcome) {
				done(outcomes)
				if batch[len(batch)-1].Offset >= 30 {
					panic("oh")
				}
			}, 30, "panic: oh",
		},
		"goes on behind a failure": {
			func(_ context.Context, batch []processor.Record, outcomes []processor.Outcome) {
				done(outcomes)
				for i := range batch {
					if batch[i].Offset == 30 {
						outcomes[i] = processor.Outcome{Kind: processor.Failed, Err: errBad}
					}
				}
			}, 30, "a bad record",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := consumertest.NewCluster(t, 1)
				cluster.ProduceRecords(keyed(100, 5)...)
				// The batches of a quick processor have 1, 2, 4, 8, 16, … records; 15 to 30 is one.
				a := cluster.Start("a", consumer.Config{UntilEnd: true, Factory: c.process})
				err := a.Wait()
				guarantees := []consumertest.Guarantee{consumertest.KeyOrder, consumertest.OneAtATime, consumertest.CommitsBehind}
				var failed *consumer.RecordError
				switch {
				case c.want == "" && err != nil:
					t.Fatal(err)
				case c.want == "":
					guarantees = consumertest.All
				case !errors.As(err, &failed) || failed.Offset != c.offset || !strings.HasPrefix(failed.Err.Error(), c.want):
					t.Fatalf("Run returned %v, want %d: %s", err, c.offset, c.want)
				default:
					if at := cluster.Committed()[0]; at != failed.Offset {
						t.Errorf("committed %d, want %d", at, failed.Offset)
					}
				}
				cluster.Check(t, guarantees...)
			})
		})
	}
}

// life counts Processors that were made and closed.
type life struct {
	made, closed atomic.Int64
	process      batches
}

func (l *life) New(context.Context, processor.Lane) (processor.Processor, error) {
	l.made.Add(1)
	return &oneLife{l, false}, nil
}

type oneLife struct {
	*life
	panicked bool
}

func (o *oneLife) Process(ctx context.Context, batch []processor.Record, outcomes []processor.Outcome) {
	if o.panicked {
		panic("used after a panic")
	}
	o.panicked = true
	o.process(ctx, batch, outcomes)
	o.panicked = false
}

func (o *oneLife) Close() error {
	o.closed.Add(1)
	panic("while it is closed")
}

func TestAProcessorThatPanickedIsReplacedAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.SkipsFailures = true
		cluster.ProduceRecords(keyed(100, 5)...)
		f := &life{process: func(_ context.Context, batch []processor.Record, outcomes []processor.Outcome) {
			for i := range batch {
				if batch[i].Offset%10 == 5 {
					panic("oh")
				}
				outcomes[i].Kind = processor.Done
			}
		}}
		a := cluster.Start("a", consumer.Config{UntilEnd: true, OnFailure: consumer.Skip, Factory: f})
		if err := a.Wait(); err != nil {
			t.Fatal(err)
		}
		cluster.Check(t, consumertest.All...)
		if s := a.Stats(); s.Failed != 10 || s.Processed != 90 {
			t.Errorf("stats: %+v", s)
		}
		if made, closed := f.made.Load(), f.closed.Load(); made != 11 || closed != 11 {
			t.Errorf("%d processors were made and %d closed, want 11 and 11", made, closed)
		}
	})
}

// makers is a Factory whose New is a function.
type makers func(context.Context, processor.Lane) (processor.Processor, error)

func (m makers) New(ctx context.Context, lane processor.Lane) (processor.Processor, error) {
	return m(ctx, lane)
}

func TestAProcessorThatCannotBeMadeStopsTheConsumer(t *testing.T) {
	for name, c := range map[string]struct {
		f    makers
		want string
	}{
		"error": {func(context.Context, processor.Lane) (processor.Processor, error) { return nil, errBad },
			"no processor for tasks/0 lane 0: a bad record"},
		"nil": {func(context.Context, processor.Lane) (processor.Processor, error) { return nil, nil },
			"no processor for tasks/0 lane 0: the factory returned neither a processor nor an error"},
		"panic": {func(context.Context, processor.Lane) (processor.Processor, error) { panic("oh") },
			"no processor for tasks/0 lane 0: panic: oh"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := consumertest.NewCluster(t, 1)
				cluster.ProduceRecords(keyed(10, 5)...)
				a := cluster.Start("a", consumer.Config{Factory: c.f})
				err := a.Wait()
				var failed *consumer.FactoryError
				if !errors.As(err, &failed) || !strings.HasPrefix(err.Error(), c.want) {
					t.Fatalf("Run returned %v, want %s", err, c.want)
				}
				if at := cluster.Committed()[0]; at != 0 {
					t.Errorf("committed %d", at)
				}
			})
		})
	}
}
