package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestCheckListen(t *testing.T) {
	for _, ok := range []string{"", "127.0.0.1:0", "localhost:9092", "[::1]:65535", "10.1.2.3:1"} {
		if err := checkListen(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"9092", ":9092", "localhost", "0.0.0.0:9092", "[::]:9092", "localhost:http", "localhost:65536", "localhost:-1"} {
		if checkListen(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestTheBrokerTakesAnotherPortWhereItsOwnIsTaken(t *testing.T) {
	// Whoever has the port, one of the two brokers must take another.
	var addrs []string
	for range 2 {
		b, err := startBroker("", "")
		if err != nil {
			t.Fatal(err)
		}
		defer b.close()
		addrs = append(addrs, b.addr)
	}
	if addrs[0] == addrs[1] || strings.HasSuffix(addrs[1], ":9092") {
		t.Errorf("%q", addrs)
	}
	_, err := startBroker(addrs[0], "")
	if err == nil || !strings.Contains(err.Error(), "--listen "+addrs[0]+": ") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port that was asked for and is taken: %v", err)
	}
}

// produceAll produces lines.
func produceAll(t *testing.T, b *devBroker, topic, separator string, lines ...string) {
	t.Helper()
	in := make(chan inputLine, len(lines))
	for _, l := range lines {
		in <- inputLine{text: []byte(l)}
	}
	close(in)
	if err := produceLines(t.Context(), b.addr, topic, in, separator); err != nil {
		t.Fatal(err)
	}
}

func TestTopicsOutliveTheBrokerInItsDirectory(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 {
		b, err := startBroker("127.0.0.1:0", dir)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := b.ensureTopic("tasks", 3-3*round); n != 3 || err != nil { // 3, then whatever there is
			t.Errorf("%d partitions, %v", n, err)
		}
		_, err = b.ensureTopic("tasks", 4)
		if !isUsage(err) || !strings.Contains(err.Error(), "has 3 partitions") {
			t.Errorf("another number of partitions: %v", err)
		}
		produceAll(t, b, "tasks", ":", "a:1", "a:2")
		var ends []int64
		for _, p := range b.PartitionInfos("tasks") {
			ends = append(ends, p.HighWatermark)
		}
		slices.Sort(ends) // one key, so one partition
		if want := []int64{0, 0, int64(2*round + 2)}; !slices.Equal(ends, want) {
			t.Errorf("round %d ends at %v, want %v", round, ends, want)
		}
		if _, err := startBroker("127.0.0.1:0", dir); err == nil || !strings.Contains(err.Error(), "another wasmton uses the directory") {
			t.Errorf("a second broker in the directory: %v", err)
		}
		b.close()
	}
}

func TestALargeTaskIsProduced(t *testing.T) {
	b, err := startBroker("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if _, err := b.ensureTopic("tasks", 0); err != nil {
		t.Fatal(err)
	}
	// Far over the 1 MiB that topics and producers allow by default.
	produceAll(t, b, "tasks", "", strings.Repeat("x", 20<<20))
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.ConsumeTopics("tasks"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	records := cl.PollFetches(t.Context()).Records()
	if len(records) != 1 || len(records[0].Value) != 20<<20 {
		t.Errorf("%d records", len(records))
	}
}

func TestProducingStopsWithItsInputOrContext(t *testing.T) {
	b, err := startBroker("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if _, err := b.ensureTopic("tasks", 0); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	in := make(chan inputLine, 1)
	in <- inputLine{err: broken}
	if err := produceLines(t.Context(), b.addr, "tasks", in, ""); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if err := produceLines(ctx, b.addr, "tasks", nil, ""); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestListenReasonIsPlain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = net.Listen("tcp", l.Addr().String())
	if got := fmt.Sprint(listenReason(err)); strings.Contains(got, "listen tcp") || !strings.Contains(got, "in use") {
		t.Error(got)
	}
}
