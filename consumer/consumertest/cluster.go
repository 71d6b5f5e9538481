package consumertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/processor"
)

// Topic and Group are what a Cluster has.
const (
	Topic = "tasks"
	Group = "workers"
)

// Cluster is a fake Kafka cluster in memory, with one topic and a [History] of it.
type Cluster struct {
	*kfake.Cluster
	*History

	t          testing.TB
	net        *kfake.VirtualNetwork
	adm        *kadm.Client
	partitions int32

	producer *kgo.Client
}

// NewCluster starts a cluster of one broker, with a topic of so many partitions. It
// must be called within a synctest bubble, and ends with the test.
func NewCluster(t testing.TB, partitions int32, opts ...kfake.Opt) *Cluster {
	t.Helper()
	c := &Cluster{t: t, partitions: partitions, History: NewHistory(), net: new(kfake.VirtualNetwork)}
	var err error
	c.Cluster, err = kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(9092),
		kfake.ListenFn(c.net.Listen),
		kfake.SeedTopics(partitions, Topic),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Cluster.Close()
		time.Sleep(time.Second) // controls that sleep; a bubble's clock ends with it
	})
	c.producer = c.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	c.adm = kadm.NewClient(c.producer)
	var seen kmsg.Request // a request is looked at once for each of its parts
	c.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: Group, Count: -1, Observe: true,
		When: func(req kmsg.Request) bool {
			r := req.(*kmsg.OffsetCommitRequest)
			if req == seen || r.MemberID == "" { // the latter come from outside of the group
				return false
			}
			seen = req
			for _, t := range r.Topics {
				for _, p := range t.Partitions {
					c.Committing(r.MemberID, p.Partition, p.Offset)
				}
			}
			return true
		},
	})
	return c
}

// Client returns a client of the cluster. It ends with the test.
func (c *Cluster) Client(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.ListenAddrs()...),
		kgo.Dialer(c.Dial),
	}, opts...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

// Dial connects to a broker of the cluster.
func (c *Cluster) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return c.net.DialContext(ctx, network, addr)
}

// Produce writes n records with some hundred keys, spread over the partitions by
// key.
func (c *Cluster) Produce(n int) {
	c.t.Helper()
	partitions := c.partitions
	r := rand.New(rand.NewPCG(1, uint64(n)))
	records := make([]*kgo.Record, n)
	for i := range records {
		key := r.IntN(300)
		records[i] = &kgo.Record{
			Partition: int32(key) % partitions,
			Key:       fmt.Appendf(nil, "key-%03d", key),
			Value:     fmt.Appendf(nil, "value-%d", i),
		}
	}
	c.ProduceRecords(records...)
}

// ProduceRecords writes records to the partitions that they name.
func (c *Cluster) ProduceRecords(records ...*kgo.Record) {
	c.t.Helper()
	for _, r := range records {
		r.Topic = Topic
	}
	if err := c.producer.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
	for _, r := range records {
		c.Produced(r.Partition, r.Offset, r.Key)
	}
}

// Reread makes the history know only the records that the log of partition 0 still
// has: what compaction left.
func (c *Cluster) Reread(t testing.TB) {
	t.Helper()
	cl := c.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{Topic: {0: kgo.NewOffset().AtStart()}}))
	end := c.Ends()[0]
	var offsets []int64
	for len(offsets) == 0 || offsets[len(offsets)-1] < end-1 {
		for _, r := range cl.PollFetches(t.Context()).Records() {
			offsets = append(offsets, r.Offset)
		}
	}
	c.Only(0, offsets)
}

// Committed returns the group's offsets.
func (c *Cluster) Committed() map[int32]int64 {
	c.t.Helper()
	rs, err := c.adm.FetchOffsets(c.t.Context(), Group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		c.t.Fatal(err)
	}
	offsets := make(map[int32]int64)
	for id, o := range rs[Topic] {
		offsets[id] = o.At
	}
	return offsets
}

// Ends returns the end offsets of the topic.
func (c *Cluster) Ends() map[int32]int64 {
	c.t.Helper()
	rs, err := c.adm.ListEndOffsets(c.t.Context(), Topic)
	if err != nil {
		c.t.Fatal(err)
	}
	offsets := make(map[int32]int64)
	for id, o := range rs[Topic] {
		offsets[id] = o.Offset
	}
	return offsets
}

// Member is a running consumer.
type Member struct {
	*consumer.Consumer
	Name string

	t      testing.TB
	cancel context.CancelFunc
	done   chan struct{}
	err    error // when done
}

// Noop does nothing with a record.
var Noop processor.Func = func(context.Context, *processor.Record) error { return nil }

// Start runs a consumer of the topic. What cfg leaves open is filled in: Factory by
// [Noop]. The history watches what its processors do.
func (c *Cluster) Start(name string, cfg consumer.Config) *Member {
	c.t.Helper()
	m := c.New(name, cfg)
	m.Run()
	return m
}

// New makes a consumer as Start does, and does not run it yet.
func (c *Cluster) New(name string, cfg consumer.Config) *Member {
	c.t.Helper()
	m := &Member{Name: name, t: c.t, done: make(chan struct{})}
	cfg.Brokers, cfg.Topic, cfg.Group = c.ListenAddrs(), Topic, Group
	if cfg.Factory == nil {
		cfg.Factory = Noop
	}
	cfg.Factory = c.Watch(name, cfg.Factory)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.ClientOptions = append([]kgo.Opt{kgo.Dialer(c.Dial), kgo.ClientID(name)}, cfg.ClientOptions...)
	var err error
	if m.Consumer, err = consumer.New(cfg); err != nil {
		c.t.Fatal(err)
	}
	return m
}

// Run runs the consumer in a goroutine that the test joins.
func (m *Member) Run() {
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(m.done)
		m.err = m.Consumer.Run(ctx)
	})
	m.t.Cleanup(func() {
		m.cancel()
		wg.Wait()
	})
}

// Stop asks the member to stop, and returns what Run returned.
func (m *Member) Stop() error {
	m.cancel()
	return m.Wait()
}

// Cancel asks the member to stop.
func (m *Member) Cancel() { m.cancel() }

// Wait returns what Run returned. It fails the test after an hour.
func (m *Member) Wait() error {
	select {
	case <-m.done:
		return m.err
	case <-time.After(time.Hour):
		m.t.Error(m.Name + " still runs after an hour")
		return errors.New("still running")
	}
}

// Running reports whether Run has not returned.
func (m *Member) Running() bool {
	select {
	case <-m.done:
		return false
	default:
		return true
	}
}
