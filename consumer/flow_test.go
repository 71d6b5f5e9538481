//go:build synctests

package consumer_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/consumer/consumertest"
	"github.com/wasmton/wasmton/processor"
)

// With one partition idle and another at its bound all the time, a client that
// pauses and resumes can stand still until a long poll ends. The slow partition must
// be processed as fast as its processor is.
func TestABoundedPartitionDoesNotStall(t *testing.T) {
	for name, bound := range map[string]consumer.Config{
		"records": {MaxPendingRecords: 500},
		"bytes":   {MaxPendingBytes: 200_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 20_000
				cluster := consumertest.NewCluster(t, 2)
				for range n / 1000 {
					cluster.ProduceRecords(keyed(1000, 7)...)
				}
				cfg := bound
				cfg.Factory = takes(time.Millisecond)
				// Small fetches, so that what is on its way when a partition is paused does not
				// exceed its bound by much.
				cfg.ClientOptions = []kgo.Opt{kgo.FetchMaxPartitionBytes(20_000)}
				cfg.UntilEnd = true
				a := cluster.Start("a", cfg)
				start := time.Now()
				highest := int64(0)
				paused := false
				for a.Running() {
					pending, isPaused := a.Pending(0)
					highest = max(highest, pending)
					paused = paused || isPaused
					time.Sleep(5 * time.Millisecond)
				}
				if err := a.Wait(); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(start); d > n*time.Millisecond*102/100 {
					t.Errorf("%d records of 1ms took %v", n, d)
				}
				if !paused {
					t.Error("the partition was never paused: the test shows nothing")
				}
				if highest > 2000 {
					t.Errorf("%d records were pending at a time", highest)
				}
				cluster.Check(t, consumertest.All...)
			})
		})
	}
}

// One record that does not end holds back commits, but not its partition, until the
// finished span above it is full.
func TestAStuckRecordDoesNotStopItsPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(&kgo.Record{Key: []byte("stuck")})
		a := cluster.Start("a", consumer.Config{Concurrency: 256, MaxPendingRecords: 100, DrainTimeout: time.Second,
			Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
				if r.Offset == 0 {
					<-ctx.Done()
					return context.Cause(ctx)
				}
				return nil
			})})
		for range 20 {
			cluster.ProduceRecords(keyed(1000, 7)...)
			time.Sleep(time.Second)
		}
		if n := a.Stats().Processed; n != 20_000 {
			t.Errorf("%d of 20000 records were processed beside the stuck one", n)
		}
		if at := cluster.Committed()[0]; at != 0 {
			t.Errorf("committed %d past the stuck record", at)
		}
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.KeyOrder, consumertest.OneAtATime, consumertest.CommitsBehind)
	})
}

func TestARecordBeyondTheBoundIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		huge := bytes.Repeat([]byte("x"), 900_000)
		cluster.ProduceRecords(
			&kgo.Record{Value: []byte("small")},
			&kgo.Record{Value: huge},
			&kgo.Record{Value: huge},
			&kgo.Record{Value: []byte("small")},
		)
		a := cluster.Start("a", consumer.Config{UntilEnd: true, MaxPendingBytes: 1000, Factory: takes(time.Second)})
		if err := a.Wait(); err != nil {
			t.Error(err)
		}
		cluster.Check(t, consumertest.All...)
	})
}

// Records without a key are spread: a partition of them is as fast as it has lanes,
// and one that takes long does not hold the others.
func TestRecordsWithoutAKeyAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		records := make([]*kgo.Record, 1001)
		for i := range records {
			records[i] = &kgo.Record{Value: []byte("x")}
		}
		records[0].Value = []byte("long")
		cluster.ProduceRecords(records...)
		a := cluster.Start("a", consumer.Config{Concurrency: 10, Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
			if r.Offset == 0 {
				return takes(time.Hour)(ctx, r)
			}
			return takes(100*time.Millisecond)(ctx, r)
		})})
		time.Sleep(13 * time.Second) // 1000 records in 9 lanes take 11.1 s, but some wait in the tenth
		if n := a.Stats().Processed; n < 800 {
			t.Errorf("%d of 1000 records were processed", n)
		}
		lanes := make(map[int]int)
		for _, r := range cluster.Runs() {
			lanes[r.Lane.Index]++
		}
		for i := range 10 {
			if n := lanes[i]; n > 130 || n < 70 && n > 0 {
				t.Errorf("lane %d ran %d records", i, n)
			}
		}
		a.Cancel()
	})
}

// After one slow record a lane takes one at a time, so that a second slow one holds
// nobody.
func TestASlowRecordShrinksTheBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.ProduceRecords(keyed(5000, 7)...)
		var mu sync.Mutex
		var sizes []int
		slow := false
		a := cluster.Start("a", consumer.Config{UntilEnd: true, Factory: batches(func(_ context.Context, batch []processor.Record, outcomes []processor.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, len(batch))
			for i := range batch {
				outcomes[i].Kind = processor.Done
			}
			if slow = !slow && len(batch) == 1024; slow {
				time.Sleep(time.Second)
			}
		})})
		if err := a.Wait(); err != nil {
			t.Fatal(err)
		}
		want := "[1 2 4 8 16 32 64 128 256 512 1024 1 2 4 8 16 32 64 128 256 512 1024"
		if got := fmt.Sprint(sizes); !strings.HasPrefix(got, want) {
			t.Errorf("batches of %s, want %s", got, want)
		}
	})
}

func TestRecordsArriveAsTheyWereProduced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		at := time.UnixMilli(1_700_000_000_123)
		records := []*kgo.Record{
			{Key: nil, Value: nil, Timestamp: at},
			{Key: []byte{}, Value: []byte{}, Timestamp: at},
			{Key: []byte("k"), Value: []byte("v"), Timestamp: at, Headers: []kgo.RecordHeader{
				{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "", Value: []byte{}},
			}},
			{Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 500_000), Timestamp: at},
		}
		cluster.ProduceRecords(records...)
		var got []processor.Record
		a := cluster.Start("a", consumer.Config{UntilEnd: true, Factory: processor.Func(func(_ context.Context, r *processor.Record) error {
			got = append(got, *r) // Key, Value and Headers may be kept
			return nil
		})})
		if err := a.Wait(); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(records) {
			t.Fatalf("%d records, want %d", len(got), len(records))
		}
		for i, r := range got {
			want := records[i]
			if r.Topic != consumertest.Topic || r.Partition != 0 || r.Offset != int64(i) || r.Attempt != 1 || !r.Time.Equal(at) {
				t.Errorf("record %d: %s, time %v, attempt %d", i, r.Coordinates(), r.Time, r.Attempt)
			}
			if !bytes.Equal(r.Key, want.Key) || (r.Key == nil) != (want.Key == nil) ||
				!bytes.Equal(r.Value, want.Value) || (r.Value == nil) != (want.Value == nil) {
				t.Errorf("record %d: key %q, value of %d, nil: %v", i, r.Key, len(r.Value), r.Value == nil)
			}
			if len(r.Headers) != len(want.Headers) {
				t.Errorf("record %d has %d headers", i, len(r.Headers))
				continue
			}
			for j, h := range r.Headers {
				if h.Key != want.Headers[j].Key || !bytes.Equal(h.Value, want.Headers[j].Value) {
					t.Errorf("record %d, header %d: %q %q", i, j, h.Key, h.Value)
				}
			}
		}
	})
}

func TestObserveSeesEachRecordBeforeItIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.SkipsFailures = true
		cluster.ProduceRecords(keyed(10, 5)...)
		var seen []string
		a := cluster.Start("a", consumer.Config{UntilEnd: true, OnFailure: consumer.Skip,
			Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
				_ = takes(time.Duration(r.Offset)*time.Second)(ctx, r)
				if r.Offset == 3 {
					return errBad
				}
				return nil
			}),
			Observe: func(r *processor.Record, o processor.Outcome, took time.Duration) {
				seen = append(seen, fmt.Sprintf("%d %v %v %v", r.Offset, o.Kind, o.Err, took))
			}})
		if err := a.Wait(); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 10 || seen[2] != "2 done <nil> 2s" || seen[3] != "3 failed a bad record 3s" || seen[9] != "9 done <nil> 9s" {
			t.Errorf("observed: %q", seen)
		}
	})
}

// Every slice that the client decodes into comes back, whatever became of its
// records: processed, failed, left to the next owner.
func TestRecordsAreRecycled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := consumertest.NewCluster(t, 1)
		cluster.SkipsFailures = true
		cluster.ProduceRecords(keyed(1000, 7)...)
		transact(t, cluster, "x", 10, &commit) // with a control record
		pool := new(countingPool)
		a := cluster.Start("a", consumer.Config{Concurrency: 3, OnFailure: consumer.Skip,
			Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
				if r.Offset > 1010 {
					return takes(time.Second)(ctx, r)
				}
				return failsAt(5, 50, 500)(ctx, r)
			}),
			ClientOptions: []kgo.Opt{kgo.WithPools(pool)}})
		time.Sleep(10 * time.Second)
		if got, put := pool.got.Load(), pool.put.Load(); got == 0 || got != put {
			t.Errorf("%d slices were taken and %d came back", got, put)
		}
		// Records that a stop leaves over come back, too.
		cluster.ProduceRecords(keyed(1000, 7)...)
		time.Sleep(5 * time.Second)
		if got, put := pool.got.Load(), pool.put.Load(); put >= got {
			t.Errorf("%d slices were taken and %d came back while their records wait", got, put)
		}
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		if got, put := pool.got.Load(), pool.put.Load(); got != put {
			t.Errorf("%d slices were taken and %d came back after a stop", got, put)
		}
	})
}

type countingPool struct{ got, put atomic.Int64 }

func (p *countingPool) GetRecords(n int) []kgo.Record {
	p.got.Add(1)
	return make([]kgo.Record, 0, n)
}

func (p *countingPool) PutRecords([]kgo.Record) { p.put.Add(1) }
