package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/processor/wasm"
	"github.com/wasmton/wasmton/wasihost"
)

// numberedGuest is a guest that writes its number, a space and the task.
func numberedGuest(number int) string {
	return fmt.Sprintf(`(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1020) "%03d ")
  (func (export "run") (local $n i32)
    (local.set $n (call $poll (i64.const 1024) (i32.const 1000)))
    (i32.store8 offset=1024 (local.get $n) (i32.const 10))
    (i32.store (i32.const 0) (i32.const 1020))
    (i32.store (i32.const 4) (i32.add (local.get $n) (i32.const 5)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))`, number)
}

// unfitGuest is a guest that links and can't start.
const unfitGuest = `(module
  (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run"))
  (func (export "_initialize") unreachable))`

// swapCheck sees every task that a guest has run, in the lane that ran it.
type swapCheck struct {
	t       *testing.T
	next    []int // by key: the number that its next task has; a key is in one lane at a time
	seen    []atomic.Int64
	count   atomic.Int64
	every   int64
	due     chan int // the swap whose turn it is
	swapped []chan struct{}
	total   int64
	over    <-chan struct{} // closed by done
	done    context.CancelFunc
}

func (c *swapCheck) line(_ *processor.Record, _ wasihost.Stream, line []byte) {
	fields := bytes.Fields(line)
	var numbers [3]int
	for i := range numbers {
		numbers[i], _ = strconv.Atoi(string(fields[i]))
	}
	version, key, number := numbers[0], numbers[1], numbers[2]
	if c.next[key] != number {
		c.t.Errorf("key %d: task %d came where %d was due", key, number, c.next[key])
	}
	c.next[key] = number + 1
	c.seen[version].Add(1)

	n := c.count.Add(1)
	if swap := int(n / c.every); n%c.every == 0 && swap <= len(c.swapped)+1 {
		// The lane that gets here waits for the swap before, so that they are spread
		// over the records, and all come before the last; the other lanes go on.
		if swap > 1 {
			select {
			case <-c.swapped[swap-2]:
			case <-c.over:
			}
		}
		if swap <= len(c.swapped) {
			c.due <- swap
		}
	}
	if n == c.total {
		c.done()
	}
}

// A million records, and fifty changes of the module on the way, one of them to a
// module that can't start: each record is processed once, in the order of its key, and
// the group does not notice.
func TestChangingTheModuleFiftyTimes(t *testing.T) {
	const partitions, keys, swaps, bad = 4, 1000, 50, 25
	total := 1_000_000
	if testing.Short() || raceDetector {
		total = 100_000
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "tasks"))
	must(t, err)
	defer cluster.Close()
	produceNumbered(t, cluster, partitions, keys, total)

	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	check := &swapCheck{
		t: t, next: make([]int, keys), seen: make([]atomic.Int64, swaps+1),
		every: int64(total / (swaps + 2)), due: make(chan int, swaps), swapped: make([]chan struct{}, swaps),
		total: int64(total), over: ctx.Done(), done: done,
	}
	for i := range check.swapped {
		check.swapped[i] = make(chan struct{})
	}
	engine, err := wasihost.NewEngine()
	must(t, err)
	defer engine.Close()
	compile := func(text string) *wasihost.Module {
		m, err := engine.Compile("guest.wat", []byte(text))
		if err != nil {
			t.Error(err)
		}
		return m
	}
	module, err := wasm.New(ctx, compile(numberedGuest(0)), wasm.Config{
		Output: check.line, Recycle: wasm.Recycle{Tasks: int64(total / 100)},
	})
	must(t, err)
	defer module.Close()

	var epochs []int32
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for range swaps {
			var swap int
			select {
			case swap = <-check.due:
			case <-ctx.Done():
				return
			}
			epochs = append(epochs, cluster.GroupInfo("swaps").Epoch)
			text, want := numberedGuest(swap), false
			if swap == bad {
				text, want = unfitGuest, true
			}
			guest := compile(text)
			if err := module.Swap(ctx, guest); (err != nil) != want {
				t.Errorf("swap %d: %v", swap, err)
			}
			close(check.swapped[swap-1])
		}
	})
	c, err := consumer.New(consumer.Config{
		Brokers: cluster.ListenAddrs(), Topic: "tasks", Group: "swaps", Factory: module,
		Concurrency: 3, CommitInterval: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	begun := time.Now()
	must(t, c.Run(ctx))
	swapping.Wait()
	t.Logf("%d records in %v", check.count.Load(), time.Since(begun))

	if got := check.count.Load(); got != int64(total) {
		t.Errorf("%d records were processed, want %d", got, total)
	}
	for key, n := range check.next {
		if n != total/keys {
			t.Errorf("key %d: %d tasks, want %d", key, n, total/keys)
		}
	}
	if len(epochs) != swaps || len(slices.Compact(epochs)) != 1 {
		t.Errorf("generations of the group at the %d swaps: %v", swaps, slices.Compact(epochs))
	}
	versions := 0
	for i := range check.seen {
		if check.seen[i].Load() > 0 {
			versions++
		}
	}
	// A version may have had no turn where the lanes were slow and the swaps were not.
	if versions < swaps/2 || check.seen[bad].Load() > 0 {
		t.Errorf("%d versions have processed records; the one that can't start %d", versions, check.seen[bad].Load())
	}
	var committed int64
	for _, commit := range cluster.GroupInfo("swaps").Commits["tasks"] {
		committed += commit.Offset
	}
	if committed != int64(total) {
		t.Errorf("%d records are committed, want %d", committed, total)
	}
}

// produceNumbered produces tasks "KEY NUMBER", numbered within each key.
func produceNumbered(t *testing.T, cluster *kfake.Cluster, partitions, keys, total int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("tasks"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(total))
	must(t, err)
	defer client.Close()
	for i := range total {
		key := i % keys
		client.Produce(t.Context(), &kgo.Record{
			Partition: int32(key % partitions), Key: strconv.AppendInt(nil, int64(key), 10),
			Value: fmt.Appendf(nil, "%d %d", key, i/keys),
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	must(t, client.Flush(t.Context()))
}
