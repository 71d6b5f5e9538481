//go:build synctests

package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/consumer/consumertest"
	"github.com/wasmton/wasmton/processor"
)

func TestACommitThatFailsIsMadeGoodByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		cluster.Produce(100)
		log := new(warnings)
		a := cluster.Start("a", consumer.Config{Logger: slog.New(log)})
		time.Sleep(5 * time.Second)
		before := cluster.Committed()
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.UnknownServerError, Count: 6})
		cluster.Produce(200)
		time.Sleep(1500 * time.Millisecond)
		if at := cluster.Committed(); fmt.Sprint(at) != fmt.Sprint(before) {
			t.Errorf("committed %v, and commits fail since %v", at, before)
		}
		time.Sleep(10 * time.Second)
		if at, ends := cluster.Committed(), cluster.Ends(); fmt.Sprint(at) != fmt.Sprint(ends) {
			t.Errorf("committed %v of %v", at, ends)
		}
		// Once each, however many failed.
		log.expect(t, "WARN a commit failed; trying again with the next one", "INFO commits succeed again")
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}

func TestTheLastCommitFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		a := cluster.Start("a", consumer.Config{CommitInterval: time.Hour})
		time.Sleep(5 * time.Second)
		cluster.ProduceRecords(perPartition(10, 0)...)
		time.Sleep(time.Second)
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.UnknownServerError, Count: -1})
		err := a.Stop()
		var failed *consumer.CommitError
		if !errors.As(err, &failed) || !errors.Is(err, kerr.UnknownServerError) ||
			!strings.HasPrefix(err.Error(), `group "workers": the last commit failed, so its records will be processed again: tasks/0@10: UNKNOWN_SERVER_ERROR`) {
			t.Errorf("Run returned %v", err)
		}
	})
	// While the group rebalances the coordinator refuses; the last commit waits for it.
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		a := cluster.Start("a", consumer.Config{CommitInterval: time.Hour})
		time.Sleep(5 * time.Second)
		cluster.ProduceRecords(perPartition(10, 0)...)
		time.Sleep(time.Second)
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RebalanceInProgress, Count: 20})
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		if at := cluster.Committed()[0]; at != 10 {
			t.Errorf("committed %d, want 10", at)
		}
	})
}

func TestACommitThatIsForbiddenStopsTheConsumer(t *testing.T) {
	for _, forbidden := range []*kerr.Error{kerr.GroupAuthorizationFailed, kerr.FencedInstanceID} {
		synctest.Test(t, func(t *testing.T) {
			cluster := consumertest.NewCluster(t, 1)
			a := cluster.Start("a", consumer.Config{})
			time.Sleep(5 * time.Second)
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: forbidden, Count: -1})
			cluster.ProduceRecords(perPartition(10, 0)...)
			err := a.Wait()
			var group *consumer.GroupError
			if !errors.As(err, &group) || !errors.Is(err, forbidden) {
				t.Errorf("Run returned %v", err)
			}
		})
	}
}

// The broker goes away and comes back: the consumer waits, says so once, and goes
// on.
func TestABrokerThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(keyed(100, 5)...)
		log := new(warnings)
		wire := new(wire)
		a := cluster.Start("a", consumer.Config{Logger: slog.New(log), ClientOptions: []kgo.Opt{
			kgo.Dialer(wire.through(cluster.Dial)),
		}})
		time.Sleep(5 * time.Second)
		wire.cut()
		time.Sleep(20 * time.Second)
		if !a.Running() {
			t.Fatalf("Run returned %v", a.Wait())
		}
		wire.mend()
		time.Sleep(time.Minute)
		cluster.ProduceRecords(keyed(100, 5)...)
		time.Sleep(30 * time.Second)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
		var gone, back int
		for _, line := range log.all() {
			switch {
			case strings.HasPrefix(line, "WARN a broker can't be reached; trying on"):
				gone++
			case strings.HasPrefix(line, "INFO the broker is back"):
				back++
			}
		}
		if gone == 0 || gone > 2 || back != gone { // a seed and the broker itself have two addresses
			t.Errorf("logged: %q", log.all())
		}
	})
}

// Errors far apart are none of a partition that can't be read, although no record came
// between them.
func TestErrorsFarApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(perPartition(10, 0)...)
		a := cluster.Start("a", consumer.Config{})
		for range 5 {
			time.Sleep(2 * time.Minute)
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.UnknownServerError, Count: 3})
		}
		time.Sleep(2 * time.Minute)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}

// wire is a network between a client and the brokers that can be cut.
type wire struct {
	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

func (w *wire) through(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		w.mu.Lock()
		isCut := w.isCut
		w.mu.Unlock()
		if isCut {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		conn, err := dial(ctx, network, addr)
		if err == nil {
			w.mu.Lock()
			w.conns = append(w.conns, conn)
			w.mu.Unlock()
		}
		return conn, err
	}
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = false
}

// A group whose offset lies behind the end of the log: the log was made anew, or cut
// off. It begins at the earliest record.
func TestAnOffsetBehindTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(keyed(100, 5)...)
		var offsets kadm.Offsets
		offsets.AddOffset(consumertest.Topic, 0, 500, -1)
		if err := kadm.NewClient(cluster.Client()).CommitAllOffsets(t.Context(), consumertest.Group, offsets); err != nil {
			t.Fatal(err)
		}
		log := new(warnings)
		a := cluster.Start("a", consumer.Config{Logger: slog.New(log)})
		time.Sleep(10 * time.Second)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
		if at := cluster.Committed()[0]; at != 100 {
			t.Errorf("committed %d, want 100", at)
		}
		log.expect(t, "WARN the log was cut off below what was read already; going on from there partition=0")
	})
}

// Records deleted before they were read are passed over.
func TestAnOffsetBelowTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(keyed(100, 5)...)
		a := cluster.Start("a", consumer.Config{Factory: takes(time.Second)})
		time.Sleep(10 * time.Second)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		if err := cluster.DeleteRecords(consumertest.Topic, 0, 50); err != nil {
			t.Fatal(err)
		}
		cluster.Gone(0, 50)
		b := cluster.Start("b", consumer.Config{UntilEnd: true})
		if err := b.Wait(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.AtLeastOnce, consumertest.OneAtATime, consumertest.CommitsBehind)
	})
}

// After an unclean election the log may be shorter than what was read. Records come
// again under offsets that were seen; what was pending below the cut is not lost.
func TestALogThatWasCutOff(t *testing.T) {
	for _, lanes := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) {
			cluster := consumertest.NewCluster(t, 1)
			cluster.ProduceRecords(keyed(100, 5)...)
			log := new(warnings)
			var first atomic.Bool
			first.Store(true)
			a := cluster.Start("a", consumer.Config{Concurrency: lanes, Logger: slog.New(log),
				Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
					if r.Offset == 50 && first.Load() {
						<-ctx.Done() // pending when the cut comes
						if !errors.Is(context.Cause(ctx), consumer.ErrLost) {
							t.Errorf("the work was cut with %v", context.Cause(ctx))
						}
						return ctx.Err()
					}
					return nil
				})})
			time.Sleep(5 * time.Second)
			first.Store(false)
			a.Rewind(0, 80)
			time.Sleep(5 * time.Second)
			cluster.ProduceRecords(keyed(100, 5)...)
			time.Sleep(5 * time.Second)
			if err := a.Stop(); err != nil {
				t.Error(err)
			}
			cluster.Check(t, consumertest.All...)
			if at := cluster.Committed()[0]; at != 200 {
				t.Errorf("committed %d, want 200", at)
			}
			log.expect(t, "WARN the log was cut off below what was read already; going on from there partition=0 had=100 offset=80")
		})
	}
}

func TestATopicThatIsDeletedStopsTheConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(keyed(10, 5)...)
		a := cluster.Start("a", consumer.Config{})
		time.Sleep(5 * time.Second)
		if err := cluster.DeleteTopic(consumertest.Topic); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err := a.Wait()
		if !errors.Is(err, consumer.ErrTopicMissing) {
			t.Errorf("Run returned %v", err)
		}
		if d := time.Since(start); d > 2*time.Minute {
			t.Errorf("it took %v to notice", d)
		}
	})
}

// A batch that can't be read does not stop the consumer at once, since it may be
// readable the next time; and it does not go on for ever.
func TestAPartitionThatCannotBeRead(t *testing.T) {
	fault := kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Partitions: []int32{0}, Err: kerr.UnknownServerError}
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		cluster.Produce(100)
		fault := fault
		fault.Count = -1
		cluster.Fault(fault)
		log := new(warnings)
		a := cluster.Start("a", consumer.Config{Logger: slog.New(log)})
		start := time.Now()
		err := a.Wait()
		var fetch *consumer.FetchError
		if !errors.As(err, &fetch) || fetch.Partition != 0 || !errors.Is(err, kerr.UnknownServerError) {
			t.Errorf("Run returned %v", err)
		}
		if d := time.Since(start); d < time.Minute || d > 2*time.Minute {
			t.Errorf("it took %v", d)
		}
		if at := cluster.Committed(); at[1] != cluster.Ends()[1] {
			t.Errorf("the other partition was not processed: %v", at)
		}
		log.expect(t, "WARN a partition can't be read; trying on partition=0")
	})
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		cluster.Produce(100)
		fault := fault
		fault.Count = 5
		cluster.Fault(fault)
		log := new(warnings)
		a := cluster.Start("a", consumer.Config{Logger: slog.New(log)})
		time.Sleep(5 * time.Minute)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
		log.expect(t, "WARN a partition can't be read; trying on partition=0", "INFO the partition can be read again")
	})
}
