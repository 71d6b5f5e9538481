//go:build synctests

package consumer_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"sync"
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

// transact writes n records to partition 0 in a transaction, and ends it if end is
// not nil.
func transact(t *testing.T, cluster *consumertest.Cluster, id string, n int, end *kgo.TransactionEndTry) {
	t.Helper()
	cl := cluster.Client(kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: consumertest.Topic, Value: []byte("transactional")}
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if end != nil {
		if err := cl.EndTransaction(t.Context(), *end); err != nil {
			t.Fatal(err)
		}
	}
	if end == nil || *end == kgo.TryCommit {
		for _, r := range records {
			cluster.Produced(r.Partition, r.Offset, r.Key)
		}
	}
}

var (
	commit = kgo.TryCommit
	abort  = kgo.TryAbort
)

func TestUntilEndReachesTheEndOfAnyLog(t *testing.T) {
	readCommitted := []kgo.Opt{kgo.FetchIsolationLevel(kgo.ReadCommitted())}
	for name, c := range map[string]struct {
		fill      func(t *testing.T, cluster *consumertest.Cluster)
		opts      []kgo.Opt
		processed int64
		committed int64 // of partition 0
	}{
		"plain records": {
			func(t *testing.T, cluster *consumertest.Cluster) { cluster.ProduceRecords(perPartition(10, 0)...) },
			nil, 10, 10,
		},
		"a marker at the end": {
			func(t *testing.T, cluster *consumertest.Cluster) { transact(t, cluster, "x", 10, &commit) },
			nil, 10, 11,
		},
		"a marker at the end, read committed": {
			func(t *testing.T, cluster *consumertest.Cluster) { transact(t, cluster, "x", 10, &commit) },
			readCommitted, 10, 11,
		},
		"an aborted transaction at the end, read committed": {
			func(t *testing.T, cluster *consumertest.Cluster) {
				cluster.ProduceRecords(perPartition(10, 0)...)
				transact(t, cluster, "x", 5, &abort)
			},
			readCommitted, 10, 16,
		},
		"aborted transactions only, read committed": {
			func(t *testing.T, cluster *consumertest.Cluster) {
				transact(t, cluster, "x", 5, &abort)
				transact(t, cluster, "x", 5, &abort)
			},
			readCommitted, 0, 12,
		},
		"an aborted transaction, read uncommitted": {
			func(t *testing.T, cluster *consumertest.Cluster) {
				transact(t, cluster, "x", 5, &abort)
			},
			nil, 5, 6,
		},
		"an open transaction, read committed": {
			func(t *testing.T, cluster *consumertest.Cluster) {
				cluster.ProduceRecords(perPartition(10, 0)...)
				transact(t, cluster, "open", 5, nil)
				cluster.ProduceRecords(perPartition(10, 0)...)
				cluster.Hidden(0, 10) // what lies behind it is not for this reader
			},
			readCommitted, 10, 10,
		},
		"all but the first records were deleted": {
			func(t *testing.T, cluster *consumertest.Cluster) {
				cluster.ProduceRecords(perPartition(10, 0)...)
				if err := cluster.DeleteRecords(consumertest.Topic, 0, 10); err != nil {
					t.Fatal(err)
				}
				cluster.Gone(0, 10)
			},
			nil, 0, -1,
		},
		"nothing": {func(*testing.T, *consumertest.Cluster) {}, nil, 0, -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := consumertest.NewCluster(t, 2)
				c.fill(t, cluster)
				start := time.Now()
				a := cluster.Start("a", consumer.Config{UntilEnd: true, ClientOptions: c.opts, CommitInterval: time.Hour})
				if err := a.Wait(); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(start); d > time.Second {
					t.Errorf("it took %v", d)
				}
				if s := a.Stats(); s.Processed != c.processed || s.Failed != 0 {
					t.Errorf("stats: %+v", s)
				}
				at, ok := cluster.Committed()[0]
				if !ok {
					at = -1
				}
				if at != c.committed {
					t.Errorf("committed %d, want %d", at, c.committed)
				}
				cluster.Check(t, consumertest.All...)
				// A second run has nothing to do.
				b := cluster.Start("b", consumer.Config{UntilEnd: true, ClientOptions: c.opts})
				if err := b.Wait(); err != nil {
					t.Fatal(err)
				}
				if n := b.Stats().Processed; n != 0 {
					t.Errorf("a second run processed %d", n)
				}
			})
		})
	}
}

// hollow makes the log of partition 0 look as if it had offsets up to 5 and no
// record from 1 on: compacted away. A broker has two ways to show that: it answers
// with a batch that has offsets and no records, or with nothing at all although the
// offset is below the end.
func hollow(t *testing.T, cluster *consumertest.Cluster, emptyBatch bool) {
	t.Helper()
	cluster.ProduceRecords(&kgo.Record{Key: []byte("a")})
	const end = 5
	cluster.ControlKey(int16(kmsg.ListOffsets), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		req := kreq.(*kmsg.ListOffsetsRequest)
		if req.Topics[0].Partitions[0].Timestamp != -1 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = req.Topics[0].Topic
		rp := kmsg.NewListOffsetsResponseTopicPartition()
		rp.Offset = end
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	cluster.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		req := kreq.(*kmsg.FetchRequest)
		if req.MaxWaitMillis != 0 {
			return nil, nil, false // the client's own fetch: it waits at offset 1 and tells nothing
		}
		at := req.Topics[0].Partitions[0].FetchOffset
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = end, end, 0
		if emptyBatch && at < end {
			b := kmsg.RecordBatch{FirstOffset: 1, LastOffsetDelta: end - 2, Magic: 2, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1}
			raw := b.AppendTo(nil)
			b.Length = int32(len(raw) - 12)
			raw = b.AppendTo(nil)
			b.CRC = int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
			rp.RecordBatches = b.AppendTo(nil)
		}
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
}

// Nothing tells the client of such a tail, and yet the end must be reached; without
// UntilEnd, the lag must go.
func TestATailThatWasCompactedAwayIsPassed(t *testing.T) {
	for name, emptyBatch := range map[string]bool{"a batch without records": true, "no batch": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := consumertest.NewCluster(t, 1)
				hollow(t, cluster, emptyBatch)
				start := time.Now()
				a := cluster.Start("a", consumer.Config{UntilEnd: true, CommitInterval: time.Hour})
				if err := a.Wait(); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(start); d > time.Second {
					t.Errorf("it took %v", d)
				}
				if at := cluster.Committed()[0]; at != 5 {
					t.Errorf("committed %d, want 5", at)
				}
				cluster.Check(t, consumertest.All...)
			})
			synctest.Test(t, func(t *testing.T) {
				cluster := consumertest.NewCluster(t, 1)
				hollow(t, cluster, emptyBatch)
				a := cluster.Start("a", consumer.Config{})
				time.Sleep(time.Minute)
				if s := a.Stats(); s.Lag != 0 || s.Processed != 1 {
					t.Errorf("stats: %+v", s)
				}
				if err := a.Stop(); err != nil {
					t.Error(err)
				}
				if at := cluster.Committed()[0]; at != 5 {
					t.Errorf("committed %d, want 5", at)
				}
			})
		})
	}
}

// Offsets that are missing in the middle hold nothing back.
func TestACompactedLogIsProcessed(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			cluster := consumertest.NewCluster(t, 1)
			adm := kadm.NewClient(cluster.Client())
			if _, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{
				{Name: "cleanup.policy", Value: new("compact")},
			}, consumertest.Topic); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				cluster.ProduceRecords(keyed(17, 10)...)
			}
			cluster.Compact()
			cluster.Reread(t)
			a := cluster.Start("a", consumer.Config{UntilEnd: true, Concurrency: lanes})
			if err := a.Wait(); err != nil {
				t.Fatal(err)
			}
			if n := a.Stats().Processed; n < 17 || n > 50 {
				t.Errorf("%d records were processed: the log was not compacted", n)
			}
			if at := cluster.Committed()[0]; at != 340 {
				t.Errorf("committed %d, want 340", at)
			}
			cluster.Check(t, consumertest.All...)
		})
	}
}

// What an open transaction holds back is not for this reader, and no lag of it.
func TestAnOpenTransactionIsNoLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(perPartition(10, 0)...)
		transact(t, cluster, "open", 5, nil)
		a := cluster.Start("a", consumer.Config{ClientOptions: []kgo.Opt{kgo.FetchIsolationLevel(kgo.ReadCommitted())}})
		for range 30 {
			time.Sleep(time.Second)
			if s := a.Stats(); s.Lag != 0 || s.Processed != 10 {
				t.Fatalf("stats: %+v", s)
			}
		}
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestUntilEndEndsSoonAfterTheLastRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 3)
		cluster.Produce(1000)
		var mu sync.Mutex
		var last time.Time
		a := cluster.Start("a", consumer.Config{UntilEnd: true, CommitInterval: time.Hour, Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				last = time.Now()
			}()
			return takes(10*time.Millisecond)(ctx, r)
		})})
		if err := a.Wait(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(last); d > 50*time.Millisecond {
			t.Errorf("Run returned %v after the last record", d)
		}
		cluster.Check(t, consumertest.All...)
	})
}

// Records that are produced during the run are beyond the end; the run ends although
// they keep coming.
func TestUntilEndMeansTheEndAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(perPartition(100, 0)...)
		a := cluster.Start("a", consumer.Config{UntilEnd: true, Factory: takes(100 * time.Millisecond)})
		for range 1000 {
			cluster.ProduceRecords(perPartition(1, 0)...)
			time.Sleep(50 * time.Millisecond)
			if !a.Running() {
				break
			}
		}
		if a.Running() {
			t.Fatal("it follows the end")
		}
		if err := a.Wait(); err != nil {
			t.Error(err)
		}
		if n := a.Stats().Processed; n < 100 || n > 110 {
			t.Errorf("%d records were processed", n)
		}
	})
}

func TestUntilEndCountsWhatOtherMembersCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 4)
		cluster.Produce(1000)
		cfg := consumer.Config{UntilEnd: true, Factory: takes(20 * time.Millisecond)}
		a := cluster.Start("a", cfg)
		b := cluster.Start("b", cfg)
		c := cluster.Start("c", consumer.Config{Factory: takes(50 * time.Millisecond)}) // goes on
		for _, m := range []*consumertest.Member{a, b} {
			if err := m.Wait(); err != nil {
				t.Error(err)
			}
			if n := m.Stats().Processed; n == 0 || n == 1000 {
				t.Errorf("%s processed %d of 1000", m.Name, n)
			}
		}
		if at, ends := fmt.Sprint(cluster.Committed()), fmt.Sprint(cluster.Ends()); at != ends {
			t.Errorf("both have ended, and committed is %s of %s", at, ends)
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}

func TestUntilEndCutShortReturnsNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(perPartition(100, 0)...)
		a := cluster.Start("a", consumer.Config{UntilEnd: true, Factory: takes(time.Second)})
		time.Sleep(10 * time.Second)
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		if n := a.Stats().Processed; n < 5 || n > 20 {
			t.Errorf("%d records were processed", n)
		}
		cluster.Check(t, consumertest.KeyOrder, consumertest.OneAtATime, consumertest.CommitsBehind)
	})
}

// A partition goes to another member, which does all of it and leaves. It comes back
// with nothing left to do: no commit will tell that it is done.
func TestUntilEndWithAPartitionThatComesBackDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 2)
		cluster.ProduceRecords(perPartition(1, 0, 1)...)
		release := make(chan struct{})
		a := cluster.Start("a", consumer.Config{UntilEnd: true, DrainTimeout: time.Second,
			Factory: processor.Func(func(ctx context.Context, _ *processor.Record) error {
				select {
				case <-release:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})})
		time.Sleep(5 * time.Second)
		b := cluster.Start("b", consumer.Config{})
		time.Sleep(10 * time.Second)
		if n := b.Stats().Processed; n != 1 {
			t.Fatalf("b processed %d records, want that of one partition", n)
		}
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		if n := a.Stats().Assigned; n != 2 {
			t.Fatalf("a has %d partitions, want both again", n)
		}
		close(release)
		if err := a.Wait(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}

// While the client's own fetches get nothing through, the partition looks as if it
// had an empty tail. There are records, and they must not be passed over.
func TestATailWithRecordsIsNotPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(perPartition(10, 0)...)
		transact(t, cluster, "x", 5, &abort) // markers are records, too: the client will deliver them
		probes := 0
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 10,
			When: func(req kmsg.Request) bool {
				if req.(*kmsg.FetchRequest).MaxWaitMillis == 0 {
					probes++
					return false
				}
				return true
			}})
		a := cluster.Start("a", consumer.Config{UntilEnd: true, ClientOptions: []kgo.Opt{kgo.FetchIsolationLevel(kgo.ReadCommitted())}})
		if err := a.Wait(); err != nil {
			t.Fatal(err)
		}
		if probes == 0 {
			t.Error("nobody looked: the test shows nothing")
		}
		if n := a.Stats().Processed; n != 10 {
			t.Errorf("%d records were processed, want 10", n)
		}
		cluster.Check(t, consumertest.All...)
	})
}

// Records are deleted while they wait to be read: the end is where the log begins.
func TestATailThatIsDeletedMeanwhileIsPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		for range 100 {
			cluster.ProduceRecords(perPartition(1, 0)...) // batches of one
		}
		a := cluster.Start("a", consumer.Config{UntilEnd: true, MaxPendingRecords: 10, Factory: takes(time.Second),
			ClientOptions: []kgo.Opt{kgo.FetchMaxPartitionBytes(700)}})
		time.Sleep(5 * time.Second)
		if err := cluster.DeleteRecords(consumertest.Topic, 0, 100); err != nil {
			t.Fatal(err)
		}
		cluster.Gone(0, 100)
		start := time.Now()
		if err := a.Wait(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("it took %v", d)
		}
		if n := a.Stats().Processed; n < 10 || n > 90 {
			t.Errorf("%d records were processed: the test shows nothing", n)
		}
		if at := cluster.Committed()[0]; at != 100 {
			t.Errorf("committed %d, want 100", at)
		}
	})
}
