package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func (b *bench) connect() error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(b.bootstrap, ",")...),
		kgo.DefaultProduceTopic(b.topic),
		kgo.ProducerLinger(20*time.Millisecond),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(256<<10),
		kgo.MaxBufferedRecords(200_000),
	)
	if err != nil {
		return err
	}
	b.client, b.admin = client, kadm.NewClient(client)
	return nil
}

func (b *bench) close() { b.client.Close() }

// fill makes the topic and fills it, unless it holds the right number of records
// already: filling takes longer than a run.
func (b *bench) fill(ctx context.Context) error {
	if n, err := b.ends(ctx); err == nil && n == b.records {
		return nil
	}
	// Both answers may say that there was nothing to do; what counts is the create.
	_, _ = b.admin.DeleteTopics(ctx, b.topic)
	var err error
	for range 50 { // a deletion takes the broker a moment
		if _, err = b.admin.CreateTopic(ctx, int32(b.partitions), 1, nil, b.topic); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "filling %s with %d records\n", b.topic, b.records)
	random := rand.New(rand.NewPCG(1, 2))
	failed := make(chan error, 1)
	for range b.records {
		value := make([]byte, b.size)
		for i := range value {
			value[i] = 'a' + byte(random.UintN(26))
		}
		key := fmt.Appendf(nil, "key-%08d", random.IntN(b.keys))
		b.client.Produce(ctx, &kgo.Record{Key: key, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := b.client.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// ends returns the sum of the topic's end offsets.
func (b *bench) ends(ctx context.Context) (n int64, err error) {
	offsets, err := b.admin.ListEndOffsets(ctx, b.topic)
	if err == nil {
		err = offsets.Error()
	}
	offsets.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n, err
}

// committed returns the sum of what the group has committed.
func (b *bench) committed(ctx context.Context, group string) (n int64) {
	offsets, err := b.admin.FetchOffsets(ctx, group)
	if err != nil {
		return 0 // not there yet
	}
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == b.topic && o.At > 0 {
			n += o.At
		}
	})
	return n
}
