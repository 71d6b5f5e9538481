//go:build synctests

package consumer_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/consumer/consumertest"
	"github.com/wasmton/wasmton/processor"
)

// takes returns a processor whose records take that long each.
func takes(d time.Duration) processor.Func {
	return func(ctx context.Context, _ *processor.Record) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func TestMembersComeAndGo(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{
		"cooperative": kgo.CooperativeStickyBalancer(),
		"eager":       kgo.RangeBalancer(),
	} {
		for _, lanes := range []int{1, 4} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cluster := consumertest.NewCluster(t, 6)
					cluster.Produce(3_000)
					cfg := consumer.Config{
						Concurrency: lanes, Factory: takes(20 * time.Millisecond),
						ClientOptions: []kgo.Opt{kgo.Balancers(balancer)},
					}
					a := cluster.Start("a", cfg)
					time.Sleep(3 * time.Second)
					b := cluster.Start("b", cfg)
					time.Sleep(8 * time.Second) // heartbeats, by which members learn of it, are 3 s apart
					if n, m := a.Stats().Assigned, b.Stats().Assigned; n != 3 || m != 3 {
						t.Errorf("of 6 partitions a has %d and b has %d", n, m)
					}
					c := cluster.Start("c", cfg)
					time.Sleep(2 * time.Second)
					if err := b.Stop(); err != nil {
						t.Error(err)
					}
					time.Sleep(2 * time.Second)
					if err := a.Stop(); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Minute)
					if err := c.Stop(); err != nil {
						t.Error(err)
					}
					cluster.Check(t, consumertest.All...)
					// A drain finishes what it can, so a graceful rebalance runs nothing twice.
					if n := len(cluster.Runs()); n != 3_000 {
						t.Errorf("%d runs of 3000 records", n)
					}
				})
			})
		}
	}
}

func TestKeptPartitionsProgressDuringALongDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		cfg := consumer.Config{Concurrency: 8, Factory: processor.Func(func(_ context.Context, r *processor.Record) error {
			if string(r.Key) == "long" {
				time.Sleep(15 * time.Second)
			}
			return nil
		})}
		a := cluster.Start("a", cfg)
		time.Sleep(5 * time.Second)
		cluster.ProduceRecords(
			&kgo.Record{Partition: 0, Key: []byte("long")},
			&kgo.Record{Partition: 1, Key: []byte("long")},
		)
		time.Sleep(time.Second)
		b := cluster.Start("b", cfg) // gets one of them, which drains until second 20
		time.Sleep(6 * time.Second)
		if n := a.Stats().Assigned; n != 1 {
			t.Fatalf("%d partitions are assigned to a, so none is draining", n)
		}
		for range 7 {
			before := len(cluster.Runs())
			cluster.ProduceRecords(&kgo.Record{Partition: 0}, &kgo.Record{Partition: 1})
			time.Sleep(time.Second)
			if n := len(cluster.Runs()) - before; n != 1 {
				t.Errorf("%d records ran within a second, want that of the partition that stays", n)
			}
		}
		time.Sleep(time.Minute)
		for _, m := range []*consumertest.Member{a, b} {
			if err := m.Stop(); err != nil {
				t.Error(err)
			}
		}
		cluster.Check(t, consumertest.All...)
		if n := len(cluster.Runs()); n != 16 {
			t.Errorf("%d runs of 16 records", n)
		}
	})
}

// A rebalance takes a partition and gives it back while the poll loop stands between
// a poll and its admission: the story that poll.go tells.
func TestRevokedAndGivenBackBetweenPollAndAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		cluster.Produce(100)
		var held atomic.Bool
		hold := make(chan struct{})
		log := new(warnings)
		a := cluster.New("a", consumer.Config{Logger: slog.New(log)})
		a.SetPolled(func(records int) {
			if records > 0 && len(cluster.Runs()) >= 100 && held.CompareAndSwap(false, true) {
				<-hold
			}
		})
		a.Run()
		time.Sleep(10 * time.Second)
		cluster.Produce(100)
		time.Sleep(time.Second)
		if !held.Load() {
			t.Fatal("the poll loop was not held")
		}
		// b joins, takes one partition, processes it, and leaves.
		b := cluster.Start("b", consumer.Config{})
		time.Sleep(10 * time.Second)
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		close(hold)
		time.Sleep(10 * time.Second)
		cluster.Produce(100)
		time.Sleep(10 * time.Second)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
		// Records that were admitted to a partition that they were not polled for would
		// show as a log that went back, and run again.
		if n := len(cluster.Runs()); n != 300 {
			t.Errorf("%d runs of 300 records", n)
		}
		log.expect(t)
	})
}

func TestLostPartitionsAreDroppedWithoutACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.Produce(20)
		var cause atomic.Pointer[error]
		release := make(chan struct{})
		// No commit comes of itself, so what was done before record 10 is there to commit.
		a := cluster.Start("a", consumer.Config{CommitInterval: time.Hour, Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
			if r.Offset != 10 {
				return nil
			}
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				err := context.Cause(ctx)
				cause.Store(&err)
				return err
			}
		})})
		time.Sleep(5 * time.Second)
		commits := len(cluster.Commits())
		// The coordinator forgets the member.
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID})
		time.Sleep(4 * time.Second)
		err := cause.Load()
		if err == nil || !errors.Is(*err, consumer.ErrLost) {
			t.Fatal("the work was not cut with ErrLost")
		}
		if n := len(cluster.Commits()); n != commits {
			t.Errorf("%d commits came with the loss: %v", n-commits, cluster.Commits())
		}
		close(release)
		time.Sleep(20 * time.Second)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}

// A lane that does not return when its partition is revoked is left behind. When the
// partition comes back meanwhile, the new lanes wait for it.
func TestGivenBackPartitionWaitsForItsOldLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		release := make(chan struct{})
		var blocked atomic.Bool
		deaf := processor.Func(func(_ context.Context, r *processor.Record) error {
			if string(r.Value) == "block" && blocked.CompareAndSwap(false, true) {
				<-release
			}
			return nil
		})
		a := cluster.Start("a", consumer.Config{Factory: deaf, DrainTimeout: 5 * time.Second})
		time.Sleep(5 * time.Second)
		key := []byte("k")
		cluster.ProduceRecords(
			&kgo.Record{Key: key, Value: []byte("block")},
			&kgo.Record{Key: key, Value: []byte("next")},
		)
		time.Sleep(time.Second)
		// The member is thrown out of the group and joins again: the partition comes
		// back at once, while the old lane still runs.
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID})
		time.Sleep(20 * time.Second)
		if n := a.Stats().Assigned; n != 1 {
			t.Fatalf("%d partitions are assigned", n)
		}
		if n := len(cluster.Runs()); n != 0 {
			t.Errorf("%d records ran beside the old lane", n)
		}
		close(release)
		time.Sleep(5 * time.Second)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
		if at := cluster.Committed()[0]; at != 2 {
			t.Errorf("committed %d, want 2", at)
		}
	})
}

// A partition that was at its bound when it went is fetched again when it comes back:
// the client keeps partitions paused over assignments.
func TestAPausedPartitionThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.Produce(1000)
		a := cluster.Start("a", consumer.Config{MaxPendingRecords: 10, Factory: takes(100 * time.Millisecond),
			ClientOptions: []kgo.Opt{kgo.FetchMaxPartitionBytes(2000)}})
		time.Sleep(5 * time.Second)
		if _, paused := a.Pending(0); !paused {
			t.Fatal("the partition is not paused: the test shows nothing")
		}
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID})
		time.Sleep(3 * time.Minute)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}
