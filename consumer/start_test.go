//go:build synctests

package consumer_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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
)

// started returns a Started function and what it was told.
func started() (on func(consumer.StartInfo), told func() consumer.StartInfo) {
	var info atomic.Pointer[consumer.StartInfo]
	return func(i consumer.StartInfo) { info.Store(&i) }, func() consumer.StartInfo {
		if i := info.Load(); i != nil {
			return *i
		}
		return consumer.StartInfo{Group: "Started was not called"}
	}
}

func perPartition(n int, partitions ...int32) (records []*kgo.Record) {
	for _, p := range partitions {
		for range n {
			records = append(records, &kgo.Record{Partition: p})
		}
	}
	return records
}

func TestEarliestBeginsAtTheFirstRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		cluster.ProduceRecords(perPartition(10, 0)...)
		if err := cluster.DeleteRecords(consumertest.Topic, 0, 4); err != nil {
			t.Fatal(err)
		}
		cluster.Gone(0, 4)
		on, told := started()
		a := cluster.Start("a", consumer.Config{Started: on})
		time.Sleep(5 * time.Second)
		info := told()
		if info.Group != consumertest.Group || info.Topic != consumertest.Topic || info.Partitions != 2 ||
			len(info.Committed) != 0 || info.From != consumer.Earliest || info.FromIgnored != "" || len(info.Members) != 0 {
			t.Errorf("%+v", info)
		}
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
		// The first start is remembered for the idle partition, too.
		if at := fmt.Sprint(cluster.Committed()); at != "map[0:10 1:0]" {
			t.Errorf("committed: %s", at)
		}
	})
}

func TestLatestAppliesToTheFirstStartOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		cluster.ProduceRecords(perPartition(10, 0, 1)...)
		on, told := started()
		cfg := consumer.Config{From: consumer.Latest, Started: on}
		a := cluster.Start("a", cfg)
		time.Sleep(5 * time.Second)
		info := told()
		if info.From != consumer.Latest || info.FromIgnored != "" || len(info.Committed) != 0 {
			t.Errorf("%+v", info)
		}
		if n := a.Stats().Processed; n != 0 {
			t.Errorf("%d records from before the start were processed", n)
		}
		cluster.ProduceRecords(perPartition(3, 0)...)
		time.Sleep(time.Second)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		if n := a.Stats().Processed; n != 3 {
			t.Errorf("%d records were processed, want 3", n)
		}
		if at := fmt.Sprint(cluster.Committed()); at != "map[0:13 1:10]" {
			t.Errorf("committed: %s", at)
		}

		// Records that arrive while nobody runs are not skipped by the second start.
		cluster.ProduceRecords(perPartition(5, 0, 1)...)
		b := cluster.Start("b", cfg)
		time.Sleep(5 * time.Second)
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
		if n := b.Stats().Processed; n != 10 {
			t.Errorf("%d records were processed, want 10", n)
		}
		info = told()
		if info.From != consumer.Earliest || info.FromIgnored != "the group has committed offsets: it goes on from there" ||
			fmt.Sprint(info.Committed) != "map[0:13 1:10]" {
			t.Errorf("%+v", info)
		}
	})
}

func TestLatestLeavesNoRecordOutWhereItDoesNotApply(t *testing.T) {
	t.Run("a partition that is added later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cluster := consumertest.NewCluster(t, 1)
			a := cluster.Start("a", consumer.Config{From: consumer.Latest, ClientOptions: []kgo.Opt{kgo.MetadataMaxAge(20 * time.Second)}})
			time.Sleep(5 * time.Second)
			adm := kadm.NewClient(cluster.Client())
			if _, err := adm.CreatePartitions(t.Context(), 1, consumertest.Topic); err != nil {
				t.Fatal(err)
			}
			// Produced before the group knows of the partition.
			manual := cluster.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err := manual.ProduceSync(t.Context(), &kgo.Record{Topic: consumertest.Topic, Partition: 1}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			cluster.Produced(1, 0, nil)
			time.Sleep(time.Minute)
			if err := a.Stop(); err != nil {
				t.Error(err)
			}
			cluster.Check(t, consumertest.All...)
		})
	})
	t.Run("an offset that is out of range", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cluster := consumertest.NewCluster(t, 1)
			a := cluster.Start("a", consumer.Config{From: consumer.Latest})
			time.Sleep(5 * time.Second)
			if err := a.Stop(); err != nil {
				t.Error(err)
			}
			cluster.ProduceRecords(perPartition(10, 0)...)
			if err := cluster.DeleteRecords(consumertest.Topic, 0, 6); err != nil {
				t.Fatal(err)
			}
			cluster.Gone(0, 6)
			b := cluster.Start("b", consumer.Config{From: consumer.Latest, UntilEnd: true})
			if err := b.Wait(); err != nil {
				t.Error(err)
			}
			cluster.Check(t, consumertest.All...)
			if n := b.Stats().Processed; n != 4 {
				t.Errorf("%d records were processed, want 4", n)
			}
		})
	})
	t.Run("some partitions have an offset", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cluster := consumertest.NewCluster(t, 2)
			cluster.ProduceRecords(perPartition(10, 0, 1)...)
			var offsets kadm.Offsets
			offsets.AddOffset(consumertest.Topic, 0, 10, -1)
			if err := kadm.NewClient(cluster.Client()).CommitAllOffsets(t.Context(), consumertest.Group, offsets); err != nil {
				t.Fatal(err)
			}
			a := cluster.Start("a", consumer.Config{From: consumer.Latest, UntilEnd: true})
			if err := a.Wait(); err != nil {
				t.Error(err)
			}
			if n := a.Stats().Processed; n != 10 {
				t.Errorf("%d records were processed, want 10", n)
			}
		})
	})
	t.Run("another member is there and has not committed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cluster := consumertest.NewCluster(t, 1)
			cluster.ProduceRecords(perPartition(10, 0)...)
			other := cluster.Client(kgo.ClientID("other-module"), kgo.ConsumerGroup(consumertest.Group),
				kgo.ConsumeTopics(consumertest.Topic), kgo.DisableAutoCommit())
			other.PollFetches(t.Context())
			on, told := started()
			a := cluster.Start("a", consumer.Config{From: consumer.Latest, Started: on})
			time.Sleep(5 * time.Second)
			info := told()
			if info.FromIgnored != "the group has members that began already" || len(info.Members) != 1 ||
				info.Members[0].ClientID != "other-module" {
				t.Errorf("%+v", info)
			}
			other.Close()
			time.Sleep(10 * time.Second)
			if err := a.Stop(); err != nil {
				t.Error(err)
			}
			cluster.Check(t, consumertest.All...)
		})
	})
	t.Run("another member joins at the same moment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cluster := consumertest.NewCluster(t, 1)
			cluster.ProduceRecords(perPartition(10, 0)...)
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.UnknownMemberID})
			on, told := started()
			a := cluster.Start("a", consumer.Config{From: consumer.Latest, Started: on})
			time.Sleep(5 * time.Second)
			info := told()
			if info.FromIgnored != "another member began at the same moment" {
				t.Errorf("%+v", info)
			}
			if err := a.Stop(); err != nil {
				t.Error(err)
			}
			cluster.Check(t, consumertest.AtLeastOnce)
		})
	})
}

func TestOtherMembersAreReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		var mu sync.Mutex
		var told [][]consumer.Member
		report := func(others []consumer.Member) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, others)
		}
		a := cluster.Start("a", consumer.Config{OtherMembers: report})
		time.Sleep(10 * time.Second)
		mu.Lock()
		if len(told) != 0 {
			t.Errorf("alone, and told of %v", told)
		}
		mu.Unlock()
		b := cluster.Start("b", consumer.Config{OtherMembers: report})
		time.Sleep(20 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 1 || len(told[0]) != 1 || told[0][0].ClientID != "a" || told[0][0].ID == "" {
			t.Errorf("told of %v", told)
		}
		for _, m := range []*consumertest.Member{a, b} {
			if err := m.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestStartErrors(t *testing.T) {
	for name, c := range map[string]struct {
		fault kfake.Fault
		want  string
		is    error
	}{
		"no permission to use the group": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Err: kerr.GroupAuthorizationFailed, Count: -1},
			`group "workers": no permission to be a member of the group`, kerr.GroupAuthorizationFailed,
		},
		"no permission to join the group": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed, Count: -1, TopLevel: true},
			`group "workers": no permission to be a member of the group`, kerr.GroupAuthorizationFailed,
		},
		"another protocol": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.InconsistentGroupProtocol, Count: -1, TopLevel: true},
			`group "workers": its members share out partitions by another protocol: they run another program or another version`,
			kerr.InconsistentGroupProtocol,
		},
		"no permission to see the topic": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.TopicAuthorizationFailed, Count: -1},
			`topic "tasks": no permission to read the topic`, consumer.ErrTopicUnauthorized,
		},
		"no permission to read the topic": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed, Count: -1},
			`topic "tasks": no permission to read the topic`, consumer.ErrTopicUnauthorized,
		},
		"the topic is missing": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.UnknownTopicOrPartition, Count: -1},
			`topic "tasks": the topic does not exist`, consumer.ErrTopicMissing,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := consumertest.NewCluster(t, 1)
				cluster.ProduceRecords(perPartition(10, 0)...)
				cluster.Fault(c.fault)
				a := cluster.Start("a", consumer.Config{})
				err := a.Wait()
				if err == nil || err.Error() != c.want || !errors.Is(err, c.is) {
					t.Errorf("Run returned %v, want %s", err, c.want)
				}
			})
		})
	}
}

func TestATopicThatWasJustMadeIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(perPartition(10, 0)...)
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.UnknownTopicOrPartition, Count: 2})
		if err := cluster.Start("a", consumer.Config{UntilEnd: true}).Wait(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}

func TestRunCanBeCalledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		a := cluster.Start("a", consumer.Config{UntilEnd: true})
		if err := a.Wait(); err != nil {
			t.Error(err)
		}
		if err := a.Consumer.Run(t.Context()); err == nil {
			t.Error("a second Run succeeded")
		}
	})
}

// A group has no coordinator yet in a cluster that never saw one.
func TestTheFirstGroupOfANewCluster(t *testing.T) {
	for _, from := range []consumer.From{consumer.Earliest, consumer.Latest} {
		synctest.Test(t, func(t *testing.T) {
			cluster := consumertest.NewCluster(t, 1)
			cluster.ProduceRecords(perPartition(10, 0)...)
			for _, key := range []kmsg.Key{kmsg.FindCoordinator, kmsg.OffsetFetch, kmsg.OffsetCommit} {
				cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: kerr.CoordinatorNotAvailable, Count: 4})
			}
			a := cluster.Start("a", consumer.Config{From: from, UntilEnd: true})
			if err := a.Wait(); err != nil {
				t.Error(err)
			}
			if from == consumer.Earliest {
				cluster.Check(t, consumertest.All...)
			}
		})
	}
}
