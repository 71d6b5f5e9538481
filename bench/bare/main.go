// bare is what wasmton is measured beside: a franz-go group consumer that commits
// and does nothing else. It runs until it gets SIGTERM.
//
//	bare -bootstrap 127.0.0.1:9092 -topic bench -group g [-pooled]
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	bootstrap := flag.String("bootstrap", "", "host:port, comma-separated")
	topic := flag.String("topic", "", "topic to read from its beginning")
	group := flag.String("group", "", "consumer group")
	pooled := flag.Bool("pooled", false, "reuse record slices as wasmton does")
	commit := flag.Duration("commit-interval", 200*time.Millisecond, "time between commits")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	opts := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...),
		kgo.ConsumerGroup(*group),
		kgo.ConsumeTopics(*topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(*commit),
	}
	if *pooled {
		opts = append(opts, kgo.WithPools(new(pool)))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 {
				return
			}
			client.MarkCommitRecords(p.Records[len(p.Records)-1])
			if *pooled {
				for _, r := range p.Records {
					r.Recycle()
				}
			}
		})
	}
}

type pool struct{ slices sync.Pool }

func (p *pool) GetRecords(n int) []kgo.Record {
	if s, ok := p.slices.Get().(*[]kgo.Record); ok && cap(*s) >= n {
		return *s
	}
	return make([]kgo.Record, 0, max(n, 4096))
}

func (p *pool) PutRecords(s []kgo.Record) {
	s = s[:0]
	p.slices.Put(&s)
}
