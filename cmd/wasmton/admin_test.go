package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/wasmton/wasmton/consumer"
)

func TestCreateTopic(t *testing.T) {
	b, err := startBroker("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	o := newOptions()
	o.createTopic = createTopicValue{3}
	s := &settings{brokers: []string{b.addr}, topic: "tasks", options: o}

	// Two members may find it missing at the same moment; the later one is fine.
	for range 2 {
		if err := createTopic(t.Context(), s, log); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.PartitionInfos("tasks")); n != 3 || strings.Count(out.String(), "made the topic") != 1 {
		t.Errorf("%d partitions: %s", n, out.String())
	}
}

func TestCreateTopicGivesUp(t *testing.T) {
	o := newOptions()
	o.connectTimeout = positiveDuration(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := createTopic(ctx, &settings{brokers: []string{"127.0.0.1:1"}, topic: "tasks", options: o}, slog.New(slog.DiscardHandler))
	var topic *consumer.TopicError
	if !errors.As(err, &topic) || exitCode(err) != exitUnreachable || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
