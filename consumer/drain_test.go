//go:build synctests

package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/consumer/consumertest"
	"github.com/wasmton/wasmton/processor"
)

// A stop finishes queued records below the highest that was started, so that the
// watermark closes up, and starts none beyond.
func TestADrainClosesUpToTheFront(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		// One key is slow and gets every tenth record; the others run ahead of it.
		records := make([]*kgo.Record, 400)
		for i := range records {
			key := "quick-" + fmt.Sprint(i%7)
			if i%10 == 0 {
				key = "slow"
			}
			records[i] = &kgo.Record{Key: []byte(key)}
		}
		cluster.ProduceRecords(records...)
		a := cluster.Start("a", consumer.Config{Concurrency: 64, DrainTimeout: time.Minute,
			Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
				if string(r.Key) == "slow" {
					return takes(time.Second)(ctx, r)
				}
				return takes(100*time.Millisecond)(ctx, r)
			})})
		time.Sleep(2 * time.Second)
		cluster.Check(t, consumertest.KeyOrder, consumertest.CommitsBehind)
		front := int64(-1)
		for _, r := range cluster.Runs() {
			front = max(front, r.Offset)
		}
		if front > 300 || front < 50 {
			t.Fatalf("the front is at %d: the test shows nothing", front)
		}
		start := time.Now()
		if err := a.Stop(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("the stop took %v: it processed all", d)
		}
		last := int64(-1)
		for _, r := range cluster.Runs() {
			last = max(last, r.Offset)
		}
		if last > front+20 { // each lane may have begun another
			t.Errorf("the front was at %d, and %d was started after the stop", front, last)
		}
		if at := cluster.Committed()[0]; at != last+1 {
			t.Errorf("committed %d, although all up to %d was to be finished", at, last)
		}
		b := cluster.Start("b", consumer.Config{UntilEnd: true})
		if err := b.Wait(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
		if n := len(cluster.Runs()); n != 400 {
			t.Errorf("%d runs of 400 records", n)
		}
	})
}

func TestAStopCutsWorkAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(keyed(10, 5)...)
		var cause atomic.Pointer[error]
		a := cluster.Start("a", consumer.Config{DrainTimeout: 7 * time.Second,
			Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
				if r.Offset == 5 {
					<-ctx.Done()
					err := context.Cause(ctx)
					cause.Store(&err)
					return fmt.Errorf("the database says: %w", errBad) // not even the context's error
				}
				return nil
			})})
		time.Sleep(5 * time.Second)
		start := time.Now()
		if err := a.Stop(); err != nil {
			t.Fatalf("Run returned %v: interrupted is not failed", err)
		}
		if d := time.Since(start); d < 7*time.Second || d > 8*time.Second {
			t.Errorf("the stop took %v, want about 7s", d)
		}
		if err := cause.Load(); err == nil || !errors.Is(*err, consumer.ErrStopping) {
			t.Error("the work was not cut with ErrStopping")
		}
		if s := a.Stats(); s.Failed != 0 || s.Processed != 5 {
			t.Errorf("stats: %+v", s)
		}
		if at := cluster.Committed()[0]; at != 5 {
			t.Errorf("committed %d, want 5", at)
		}
		cluster.Check(t, consumertest.KeyOrder, consumertest.OneAtATime, consumertest.CommitsBehind)
		b := cluster.Start("b", consumer.Config{UntilEnd: true, Factory: processor.Func(func(_ context.Context, r *processor.Record) error {
			if r.Attempt != 1 {
				t.Errorf("%d begins with attempt %d", r.Offset, r.Attempt)
			}
			return nil
		})})
		if err := b.Wait(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}

func TestAStopNamesWhatStillRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		release := make(chan struct{})
		records := keyed(10, 5)
		records[7].Partition = 1
		cluster.ProduceRecords(records...)
		a := cluster.Start("a", consumer.Config{DrainTimeout: 7 * time.Second,
			Factory: processor.Func(func(_ context.Context, r *processor.Record) error {
				if r.Partition == 0 && r.Offset == 0 || r.Partition == 1 {
					<-release // deaf to its context
				}
				return nil
			})})
		time.Sleep(5 * time.Second)
		start := time.Now()
		err := a.Stop()
		var drain *consumer.DrainError
		if !errors.As(err, &drain) || len(drain.Running) != 2 {
			t.Fatalf("Run returned %v", err)
		}
		for _, r := range drain.Running {
			if r.Topic != consumertest.Topic || r.Offset != 0 {
				t.Errorf("still running: %+v", r)
			}
		}
		if d := time.Since(start); d > 9*time.Second {
			t.Errorf("Run returned after %v", d)
		}
		if at := cluster.Committed(); at[0] != 0 || at[1] != 0 {
			t.Errorf("committed: %v", at)
		}
		commits := len(cluster.Commits())
		close(release)
		time.Sleep(10 * time.Second)
		if n := len(cluster.Commits()); n != commits {
			t.Error("what finished after Run had returned was committed")
		}
	})
}

// A revoke waits no longer than the group can: half of the rebalance timeout.
func TestARevokeIsCutWhenTheGroupCannotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		var cause atomic.Pointer[error]
		var took atomic.Int64
		eager := kgo.Balancers(kgo.RangeBalancer())
		a := cluster.Start("a", consumer.Config{DrainTimeout: time.Hour,
			ClientOptions: []kgo.Opt{kgo.RebalanceTimeout(20 * time.Second), eager},
			Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
				if r.Offset != 5 || cause.Load() != nil {
					return nil
				}
				start := time.Now()
				<-ctx.Done()
				took.Store(int64(time.Since(start)))
				err := context.Cause(ctx)
				cause.Store(&err)
				return err
			})})
		time.Sleep(5 * time.Second)
		cluster.ProduceRecords(keyed(10, 5)...)
		time.Sleep(time.Second)
		b := cluster.Start("b", consumer.Config{ClientOptions: []kgo.Opt{eager}})
		time.Sleep(40 * time.Second)
		if err := cause.Load(); err == nil || !errors.Is(*err, consumer.ErrRevoked) {
			t.Fatal("the work was not cut with ErrRevoked")
		}
		if d := time.Duration(took.Load()); d > 15*time.Second {
			t.Errorf("the record was given %v", d)
		}
		committed := false
		for _, c := range cluster.Commits() {
			committed = committed || c.Offset == 5
		}
		if !committed {
			t.Errorf("the revoke did not commit 5: %v", cluster.Commits())
		}
		for _, m := range []*consumertest.Member{a, b} {
			if err := m.Stop(); err != nil {
				t.Error(err)
			}
		}
		cluster.Check(t, consumertest.All...)
	})
}
