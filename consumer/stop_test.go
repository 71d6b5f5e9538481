//go:build synctests

package consumer_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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

// A member that is told to stop while the group waits for another one does not wait
// with it, and leaves nothing behind that the group would wait for.
func TestAStopDuringARebalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		eager := kgo.Balancers(kgo.RangeBalancer())
		a := cluster.Start("a", consumer.Config{DrainTimeout: time.Minute, ClientOptions: []kgo.Opt{eager},
			Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
				return takes(50*time.Second)(ctx, r)
			})})
		time.Sleep(5 * time.Second)
		cluster.ProduceRecords(&kgo.Record{Partition: 0})
		time.Sleep(time.Second)
		b := cluster.Start("b", consumer.Config{ClientOptions: []kgo.Opt{eager}})
		time.Sleep(10 * time.Second) // a drains, b waits for it in its join
		start := time.Now()
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("the stop took %v", d)
		}
		time.Sleep(45 * time.Second) // a is through, and joins
		if n := a.Stats().Assigned; n != 2 {
			t.Errorf("a has %d partitions: the group waits for the one that is gone", n)
		}
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}

// A stop with no broker in reach returns soon, and says what is not committed.
func TestAStopWithoutABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(keyed(100, 5)...)
		wire := new(wire)
		a := cluster.Start("a", consumer.Config{CommitInterval: time.Hour, ClientOptions: []kgo.Opt{
			kgo.Dialer(wire.through(cluster.Dial)),
		}})
		time.Sleep(5 * time.Second)
		wire.cut()
		start := time.Now()
		err := a.Stop()
		if err == nil || !isA[*consumer.CommitError](err) {
			t.Errorf("Run returned %v", err)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("the stop took %v", d)
		}
	})
}

// Failures while stopping are failures: the record would stop the next run, too.
func TestAFailureWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(keyed(10, 5)...)
		a := cluster.Start("a", consumer.Config{Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
			_ = takes(time.Second)(ctx, r)
			if r.Offset == 5 {
				return errBad
			}
			return nil
		})})
		time.Sleep(5500 * time.Millisecond)
		err := a.Stop()
		if !isA[*consumer.RecordError](err) {
			t.Errorf("Run returned %v", err)
		}
		if at := cluster.Committed()[0]; at != 5 {
			t.Errorf("committed %d, want 5", at)
		}
		elapsed := a.Stats().Elapsed
		time.Sleep(time.Minute)
		if d := a.Stats().Elapsed; d != elapsed || d < 5*time.Second || d > 10*time.Second {
			t.Errorf("%v elapsed, and then %v", elapsed, d)
		}
	})
}

// A lane that did not return when its partition went is waited for at the stop, and
// named.
func TestAStopNamesALaneOfAPartitionThatWent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		release := make(chan struct{})
		a := cluster.Start("a", consumer.Config{DrainTimeout: 5 * time.Second,
			Factory: processor.Func(func(context.Context, *processor.Record) error {
				<-release
				return nil
			})})
		time.Sleep(5 * time.Second)
		cluster.ProduceRecords(&kgo.Record{})
		time.Sleep(time.Second)
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID})
		time.Sleep(20 * time.Second) // lost, and assigned again; the new lane waits for the old one
		start := time.Now()
		err := a.Stop()
		var drain *consumer.DrainError
		if !errors.As(err, &drain) || !slices.Equal(drain.Running, []consumer.Running{{Topic: consumertest.Topic}}) {
			t.Errorf("Run returned %v, want tasks/0@0", err)
		}
		if d := time.Since(start); d > 8*time.Second {
			t.Errorf("the stop took %v", d)
		}
		close(release)
	})
}

// A stop while a revoke drains: both come to an end together, and what was done is
// committed.
func TestAStopWhileARevokeDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		a := cluster.Start("a", consumer.Config{DrainTimeout: 15 * time.Second, Factory: takes(12 * time.Second)})
		time.Sleep(5 * time.Second)
		cluster.ProduceRecords(perPartition(1, 0, 1)...)
		time.Sleep(time.Second)
		b := cluster.Start("b", consumer.Config{})
		time.Sleep(6 * time.Second)
		if n := a.Stats().Assigned; n != 1 {
			t.Fatalf("%d partitions are assigned to a, so none is draining", n)
		}
		start := time.Now()
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("the stop took %v", d)
		}
		if n := a.Stats().Processed; n != 2 {
			t.Errorf("a processed %d records, want those of both partitions", n)
		}
		time.Sleep(time.Minute)
		if n := b.Stats().Processed; n != 0 {
			t.Errorf("b processed %d records again", n)
		}
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}

// The group throws the member out while it drains for a stop: what it did is not
// committed, since another member may be further.
func TestAStopThatIsThrownOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(keyed(10, 5)...)
		log := new(warnings)
		a := cluster.Start("a", consumer.Config{CommitInterval: time.Hour, DrainTimeout: 30 * time.Second, Logger: slog.New(log),
			Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
				if r.Offset == 5 {
					return takes(20*time.Second)(ctx, r)
				}
				return nil
			})})
		time.Sleep(10 * time.Second)
		commits := len(cluster.Commits())
		a.Cancel()
		time.Sleep(time.Second)
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID})
		err := a.Wait()
		if !isA[*consumer.CommitError](err) || !errors.Is(err, consumer.ErrLost) {
			t.Errorf("Run returned %v", err)
		}
		if n := len(cluster.Commits()); n != commits {
			t.Errorf("commits after the loss: %v", cluster.Commits()[commits:])
		}
		b := cluster.Start("b", consumer.Config{UntilEnd: true})
		if err := b.Wait(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}

// Being thrown out is told once, and so is being back.
func TestThrownOutAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		log := new(warnings)
		a := cluster.Start("a", consumer.Config{Logger: slog.New(log)})
		time.Sleep(10 * time.Second)
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.UnknownServerError, Count: 5, TopLevel: true})
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID})
		time.Sleep(time.Minute)
		log.expect(t,
			"WARN partitions lost",
			"WARN out of the group; joining again",
			"INFO in the group again partitions=[0]",
		)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	})
}
