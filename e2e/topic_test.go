//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/e2e/kafkatest"
)

// topic is a topic made for one test, and what the test asks the broker about it.
type topic struct {
	t         *testing.T
	name      string
	bootstrap string
	client    *kgo.Client // produces to the topic, to the partition that a record names
	admin     *kadm.Client
}

var (
	topicNumber    atomic.Int64
	notInTopicName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)
)

// newTopic makes a topic on the shared cluster. settings are name=value each.
func newTopic(t *testing.T, partitions int, settings ...string) *topic {
	t.Helper()
	return newTopicOn(t, sharedCluster(t), partitions, settings...)
}

func newTopicOn(t *testing.T, cluster *kafkatest.Cluster, partitions int, settings ...string) *topic {
	t.Helper()
	tp := &topic{
		t:         t,
		name:      fmt.Sprintf("%s-%d", notInTopicName.ReplaceAllString(t.Name(), "-"), topicNumber.Add(1)),
		bootstrap: cluster.Bootstrap(),
	}
	tp.client = newClient(t, cluster, kgo.DefaultProduceTopic(tp.name))
	tp.admin = kadm.NewClient(tp.client)

	configs := map[string]*string{}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		configs[name] = &value
	}
	if _, err := tp.admin.CreateTopic(t.Context(), int32(partitions), -1, configs, tp.name); err != nil {
		t.Fatal(err)
	}
	return tp
}

// newClient makes a client of the cluster that lives as long as the test.
func newClient(t *testing.T, cluster *kafkatest.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(cluster.Brokers()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(64 << 20),
		kgo.BrokerMaxWriteBytes(100 << 20),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func (tp *topic) produce(records ...*kgo.Record) {
	tp.t.Helper()
	if err := tp.client.ProduceSync(tp.t.Context(), records...).FirstErr(); err != nil {
		tp.t.Fatal(err)
	}
}

// group is wasmton's default group of the topic.
func (tp *topic) group() string { return "wasmton-" + tp.name }

// run returns the arguments that process the topic with a guest.
func (tp *topic) run(guest string, flags ...string) []string {
	return append(flags, tp.bootstrap, tp.name, guest)
}

// ends returns the end offset of each partition.
func (tp *topic) ends() map[int32]int64 {
	tp.t.Helper()
	listed, err := tp.admin.ListEndOffsets(tp.t.Context(), tp.name)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		tp.t.Fatal(err)
	}
	ends := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends
}

// awaitStable waits until partition 0 can be read up to offset end by whoever reads
// committed records only. A transaction ends for its producer before the broker has
// written the marker that ends it for readers.
func (tp *topic) awaitStable(end int64) {
	tp.t.Helper()
	await(tp.t, fmt.Sprintf("offset %d to be stable", end), func() bool {
		listed, err := tp.admin.ListCommittedOffsets(tp.t.Context(), tp.name)
		if err != nil {
			tp.t.Fatal(err)
		}
		at, ok := listed.Lookup(tp.name, 0)
		return ok && at.Err == nil && at.Offset == end
	})
}

// committed returns the group's committed offset of each partition that has one.
func (tp *topic) committed() map[int32]int64 {
	tp.t.Helper()
	fetched, err := tp.admin.FetchOffsets(tp.t.Context(), tp.group())
	if err == nil {
		err = fetched.Error()
	}
	if err != nil {
		tp.t.Fatal(err)
	}
	committed := map[int32]int64{}
	fetched.Each(func(o kadm.OffsetResponse) {
		if o.Topic == tp.name && o.At >= 0 {
			committed[o.Partition] = o.At
		}
	})
	return committed
}

// caughtUp reports whether all of the topic is committed.
func (tp *topic) caughtUp() bool {
	tp.t.Helper()
	committed := tp.committed()
	for p, end := range tp.ends() {
		if end > 0 && committed[p] != end {
			return false
		}
	}
	return true
}

// members returns how many partitions each member of the group has.
func (tp *topic) members() []int {
	tp.t.Helper()
	// A broker that restarts may be asked: its answer comes after retries.
	ctx, cancel := context.WithTimeout(tp.t.Context(), patience)
	defer cancel()
	groups, err := tp.admin.DescribeGroups(ctx, tp.group())
	if err == nil {
		err = groups.Error()
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil // nobody has joined yet
	}
	if err != nil {
		tp.t.Fatal(err)
	}
	var members []int
	for _, m := range groups[tp.group()].Members {
		n := 0
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, topic := range a.Topics {
				n += len(topic.Partitions)
			}
		}
		members = append(members, n)
	}
	return members
}

// shared reports whether n members each have a partition.
func (tp *topic) shared(n int) bool {
	tp.t.Helper()
	members := tp.members()
	return len(members) == n && !slices.Contains(members, 0)
}

// read returns all that a plain consumer reads from the topic, up to where it ends.
func (tp *topic) read(opts ...kgo.Opt) []*kgo.Record {
	tp.t.Helper()
	from := map[int32]kgo.Offset{}
	left := map[int32]int64{}
	for p, end := range tp.ends() {
		from[p] = kgo.NewOffset().AtStart()
		if end > 0 {
			left[p] = end
		}
	}
	cl, err := kgo.NewClient(append(opts,
		kgo.SeedBrokers(strings.Split(tp.bootstrap, ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{tp.name: from}))...)
	if err != nil {
		tp.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(tp.t.Context(), patience)
	defer cancel()
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			tp.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if records = append(records, r); r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return records
}

// sessionFlags let the broker give up a killed member within a second, where it
// would take 45 s.
func sessionFlags() []string {
	return []string{"-X", "session.timeout.ms=" + millis(time.Second), "-X", "heartbeat.interval.ms=" + millis(300*time.Millisecond)}
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
