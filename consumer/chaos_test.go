//go:build synctests

package consumer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// Members come, go, are thrown out and lose their network, in an order that a seed
// decides; records take microseconds or seconds; commits fail. Whatever happens, no
// record is lost, no key is out of order, and no commit runs ahead. Two of a key may
// run at a time, in a member that lost its partition and does not know yet.
func TestGuaranteesHoldWhateverHappens(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func chaos(t *testing.T, r *rand.Rand) {
	partitions := 1 + r.Int32N(6)
	cluster := consumertest.NewCluster(t, partitions)
	balancers := []kgo.GroupBalancer{kgo.CooperativeStickyBalancer()}
	if r.IntN(3) == 0 {
		balancers = []kgo.GroupBalancer{kgo.RangeBalancer()}
	}
	slowness := time.Duration(r.Int64N(int64(300 * time.Millisecond)))
	cfg := consumer.Config{
		Concurrency:       1 + r.IntN(6),
		DrainTimeout:      time.Duration(1+r.IntN(10)) * time.Second,
		ConnectTimeout:    time.Hour, // a wire may be cut before a member came through
		MaxPendingRecords: 1 + r.IntN(2000),
		CommitInterval:    time.Duration(50+r.IntN(3000)) * time.Millisecond,
		Factory: processor.Func(func(ctx context.Context, rec *processor.Record) error {
			switch rec.Offset % 50 {
			case 7:
				return takes(10*slowness)(ctx, rec)
			case 1, 2, 3:
				return takes(slowness)(ctx, rec)
			}
			return nil
		}),
	}
	type member struct {
		*consumertest.Member
		wire *wire
	}
	var members []member
	join := func(cfg consumer.Config) member {
		w := new(wire)
		cfg.ClientOptions = []kgo.Opt{
			kgo.Balancers(balancers...), kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(time.Second),
			kgo.FetchMaxPartitionBytes(int32(1000 + r.IntN(50_000))),
			kgo.Dialer(w.through(cluster.Dial)),
		}
		return member{cluster.Start(fmt.Sprintf("m%d", len(members)), cfg), w}
	}
	members = append(members, join(cfg))
	for range 25 {
		i := r.IntN(len(members))
		switch r.IntN(10) {
		case 0, 1, 2:
			cluster.Produce(1 + r.IntN(500))
		case 3, 4:
			if len(members) < 5 {
				members = append(members, join(cfg))
			}
		case 5:
			if len(members) > 1 {
				members[i].Cancel()
				members = slices.Delete(members, i, i+1)
			}
		case 6:
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID})
		case 7:
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.UnknownServerError, Count: 1 + r.IntN(3)})
		case 8:
			// Not while a member waits in its join: the fake cluster's group may then wait
			// for ever.
			if info := cluster.GroupInfo(consumertest.Group); info != nil && info.State == "Stable" && len(info.Members) == len(members) {
				members[i].wire.cut()
			}
		case 9:
			for _, m := range members {
				m.wire.mend()
			}
		}
		time.Sleep(time.Duration(r.Int64N(int64(8 * time.Second))))
	}
	for _, m := range members {
		m.wire.mend()
	}
	last := join(consumer.Config{UntilEnd: true})
	if err := last.Wait(); err != nil {
		t.Error(err)
	}
	for _, m := range members {
		if !m.Running() {
			t.Errorf("%s ended by itself: %v", m.Name, m.Wait())
		}
		m.Cancel()
	}
	for _, m := range members {
		// One that was thrown out and did not notice has nothing to commit as.
		if err := m.Wait(); err != nil && !isA[*consumer.CommitError](err) {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
	cluster.Check(t, consumertest.AtLeastOnce, consumertest.KeyOrder, consumertest.CommitsBehind)
	if at, ends := fmt.Sprint(cluster.Committed()), fmt.Sprint(cluster.Ends()); at != ends {
		t.Errorf("committed %s of %s", at, ends)
	}
}
