package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/processor"
)

// A program that processes a topic until it is told to stop. What runs at that
// moment is finished and committed.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	c, err := consumer.New(consumer.Config{
		Brokers:     []string{"localhost:9092"},
		Topic:       "orders",
		Group:       "billing",
		Concurrency: 16, // lanes a partition: orders of one customer stay in order
		Factory: processor.Func(func(ctx context.Context, r *processor.Record) error {
			return bill(ctx, string(r.Key), r.Value)
		}),
		Metrics: prometheus.DefaultRegisterer,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

func bill(context.Context, string, []byte) error { return nil }

// A batch job: it ends when all that was in the topic at its start is processed. The
// cluster here is a fake one, so that the example runs anywhere.
func Example_untilEnd() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	fill(cluster.ListenAddrs(), "one", "two", "three")

	c, err := consumer.New(consumer.Config{
		Brokers: cluster.ListenAddrs(), Topic: "orders", Group: "billing", UntilEnd: true,
		Factory: processor.Func(func(_ context.Context, r *processor.Record) error {
			fmt.Printf("%s: %s\n", r.Coordinates(), r.Value)
			return nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	err = c.Run(context.Background())
	fmt.Println(c.Stats().Processed, "processed,", err)
	// Output:
	// orders/0@0: one
	// orders/0@1: two
	// orders/0@2: three
	// 3 processed, <nil>
}

// A failed record stops the consumer, and the error says which it was. The next
// start begins with it.
func ExampleRecordError() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	fill(cluster.ListenAddrs(), "one", "two", "three")

	c, err := consumer.New(consumer.Config{
		Brokers: cluster.ListenAddrs(), Topic: "orders", Group: "billing",
		Factory: processor.Func(func(_ context.Context, r *processor.Record) error {
			if string(r.Value) == "two" {
				return errors.New("no such customer")
			}
			return nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	err = c.Run(context.Background())
	if failed, ok := errors.AsType[*consumer.RecordError](err); ok {
		fmt.Printf("partition %d, offset %d: %v\n", failed.Partition, failed.Offset, failed.Err)
	}
	// Output:
	// partition 0, offset 1: no such customer
}

// A batch of records at a time, for a Processor that sends them on together. Lanes
// make their own, so it needs no locks.
func ExampleConfig_factory() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	fill(cluster.ListenAddrs(), "one", "two", "three")

	c, err := consumer.New(consumer.Config{
		Brokers: cluster.ListenAddrs(), Topic: "orders", Group: "warehouse", UntilEnd: true,
		Factory:        warehouse{},
		CommitInterval: 5 * time.Second,
		OnFailure:      consumer.Skip,
		Logger:         slog.New(slog.DiscardHandler),
		ClientOptions:  []kgo.Opt{kgo.ClientID("warehouse-1")},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Run(context.Background()))
	// Output:
	// a connection for orders/0
	// closed after 3 records
	// <nil>
}

type warehouse struct{}

func (warehouse) New(_ context.Context, lane processor.Lane) (processor.Processor, error) {
	fmt.Printf("a connection for %s/%d\n", lane.Topic, lane.Partition)
	return &bulk{}, nil
}

type bulk struct{ n int }

func (b *bulk) Process(_ context.Context, batch []processor.Record, outcomes []processor.Outcome) {
	b.n += len(batch) // one insert for all
	for i := range outcomes {
		outcomes[i].Kind = processor.Done
	}
}

func (b *bulk) Close() error {
	fmt.Printf("closed after %d records\n", b.n)
	return nil
}

func fill(brokers []string, values ...string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		log.Fatal(err)
	}
	defer cl.Close()
	for _, v := range values {
		if err := cl.ProduceSync(context.Background(), kgo.StringRecord(v)).FirstErr(); err != nil {
			log.Fatal(err)
		}
	}
}
