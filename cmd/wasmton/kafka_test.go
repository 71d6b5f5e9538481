package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaCommands are the script commands about brokers, which live in the test's
// process:
//
//	kfake [TOPIC[:PARTITIONS]...]   start a broker, whose address is BROKER, and make
//	                                topics on it
//	produce TOPIC [-p PARTITION] [-k KEY] VALUE|-null|-size=BYTES|-count=N
//	committed GROUP TOPIC/PARTITION OFFSET
//	                                the group's committed offset must be this; -1 for none
//	reaches GROUP TOPIC/PARTITION OFFSET
//	                                wait until it is
//	commit GROUP TOPIC/PARTITION OFFSET
//	joins GROUP TOPIC CLIENT-ID     let another member join the group
//	deny topic|group|create         refuse permission from now on
//	listener http|silent|refused
//	                                something at ADDR that is no broker
var kafkaCommands = map[string]func(*testscript.TestScript, bool, []string){
	"kfake": cmdKfake, "produce": cmdProduce, "committed": cmdCommitted, "reaches": cmdReaches, "commit": cmdCommit,
	"joins": cmdJoins, "deny": cmdDeny, "listener": cmdListener,
}

// kafka is a script's broker. It starts with the command kfake.
type kafka struct{ *kfake.Cluster }

type kafkaKey struct{}

// maxBatch is the limit of the script's topics. It is far above the 1 MiB that is
// usual, so that tests of large records need little else.
const maxBatch = 30_000_000

func setupKafka(env *testscript.Env) error {
	k := &kafka{}
	env.Values[kafkaKey{}] = k
	env.Defer(func() {
		if k.Cluster != nil {
			k.Close()
		}
	})
	return nil
}

func cluster(ts *testscript.TestScript) *kafka {
	k := ts.Value(kafkaKey{}).(*kafka)
	if k.Cluster == nil {
		ts.Fatalf("no broker: use kfake first")
	}
	return k
}

func cmdKfake(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	k := ts.Value(kafkaKey{}).(*kafka)
	if k.Cluster == nil {
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DefaultNumPartitions(4),
			kfake.GroupMinSessionTimeout(100*time.Millisecond))
		ts.Check(err)
		k.Cluster = c
		ts.Setenv("BROKER", c.ListenAddrs()[0])
	}
	for _, arg := range args {
		topic, n, _ := strings.Cut(arg, ":")
		partitions := 1
		if n != "" {
			var err error
			partitions, err = strconv.Atoi(n)
			ts.Check(err)
		}
		ts.Check(k.CreateTopic(topic, int32(partitions), map[string]string{"max.message.bytes": strconv.Itoa(maxBatch)}))
	}
}

func cmdProduce(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) < 2 {
		ts.Fatalf("usage: produce TOPIC [-p PARTITION] [-k KEY] VALUE|-null|-size=BYTES|-count=N")
	}
	r := kgo.Record{Topic: args[0]}
	count := 1
	for args = args[1:]; len(args) > 0; args = args[1:] {
		flag, number, _ := strings.Cut(args[0], "=")
		switch flag {
		case "-p":
			n, err := strconv.Atoi(args[1])
			ts.Check(err)
			r.Partition = int32(n)
			args = args[1:]
		case "-k":
			r.Key = []byte(args[1])
			args = args[1:]
		case "-null":
			r.Value = nil
		case "-size":
			n, err := strconv.Atoi(number)
			ts.Check(err)
			r.Value = []byte(strings.Repeat("x", n))
		case "-count":
			n, err := strconv.Atoi(number)
			ts.Check(err)
			count, r.Value = n, []byte("task")
		default:
			r.Value = []byte(args[0])
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster(ts).ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(maxBatch))
	ts.Check(err)
	defer cl.Close()
	records := make([]*kgo.Record, count)
	for i := range records {
		one := r
		records[i] = &one
	}
	ts.Check(cl.ProduceSync(context.Background(), records...).FirstErr())
}

func topicPartition(ts *testscript.TestScript, s string) (topic string, partition int32) {
	topic, number, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(number)
	ts.Check(err)
	return topic, int32(n)
}

func cmdCommitted(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) != 3 {
		ts.Fatalf("usage: committed GROUP TOPIC/PARTITION OFFSET")
	}
	topic, partition := topicPartition(ts, args[1])
	got := int64(-1)
	if g := cluster(ts).GroupInfo(args[0]); g != nil {
		if c, ok := g.Commits[topic][partition]; ok {
			got = c.Offset
		}
	}
	if strconv.FormatInt(got, 10) != args[2] {
		ts.Fatalf("group %s has committed %d of %s, want %s", args[0], got, args[1], args[2])
	}
}

func cmdReaches(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) != 3 {
		ts.Fatalf("usage: reaches GROUP TOPIC/PARTITION OFFSET")
	}
	topic, partition := topicPartition(ts, args[1])
	want, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = cluster(ts).WaitGroupInfo(ctx, args[0], func(g *kfake.GroupInfo) bool {
		return g != nil && g.Commits[topic][partition].Offset == want
	})
	ts.Check(err)
}

func cmdCommit(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) != 3 {
		ts.Fatalf("usage: commit GROUP TOPIC/PARTITION OFFSET")
	}
	topic, partition := topicPartition(ts, args[1])
	at, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster(ts).ListenAddrs()...))
	ts.Check(err)
	defer cl.Close()
	var offsets kadm.Offsets
	offsets.AddOffset(topic, partition, at, -1)
	ts.Check(kadm.NewClient(cl).CommitAllOffsets(context.Background(), args[0], offsets))
}

func cmdJoins(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) != 3 {
		ts.Fatalf("usage: joins GROUP TOPIC CLIENT-ID")
	}
	assigned := make(chan struct{}, 100)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster(ts).ListenAddrs()...), kgo.ClientID(args[2]),
		kgo.ConsumerGroup(args[0]), kgo.ConsumeTopics(args[1]), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { assigned <- struct{}{} }))
	ts.Check(err)
	ts.Defer(cl.Close)
	select {
	case <-assigned:
	case <-time.After(patience):
		ts.Fatalf("the member does not get to join")
	}
}

func cmdDeny(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) != 1 {
		ts.Fatalf("usage: deny topic|group|create")
	}
	fault := map[string]kfake.Fault{
		"topic":  {Keys: []kmsg.Key{kmsg.Metadata, kmsg.Fetch, kmsg.ListOffsets}, Err: kerr.TopicAuthorizationFailed},
		"group":  {Keys: []kmsg.Key{kmsg.JoinGroup, kmsg.OffsetFetch, kmsg.OffsetCommit, kmsg.FindCoordinator, kmsg.DescribeGroups}, Err: kerr.GroupAuthorizationFailed},
		"create": {Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed},
	}[args[0]]
	fault.Count = -1
	cluster(ts).Fault(fault)
}

func cmdListener(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) != 1 {
		ts.Fatalf("usage: listener http|silent|refused")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv("ADDR", l.Addr().String())
	var serve func(net.Conn)
	switch args[0] {
	case "http": // answers everything as web servers do
		serve = func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			_ = c.Close()
		}
	case "silent": // takes connections and never says a word
		serve = func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	case "refused":
		ts.Check(l.Close())
		return
	default:
		ts.Fatalf("no such listener")
	}
	ts.Defer(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go serve(c)
			}
		}
	}()
}
