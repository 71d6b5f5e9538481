package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/consumer"
)

// createTopic makes the missing topic. That another member made it meanwhile is
// as good. The replication factor is the broker's default.
func createTopic(ctx context.Context, s *settings, log *slog.Logger) error {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.brokers...)}, s.client...)...)
	if err != nil {
		return refused(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.connectTimeout))
	defer cancel()
	made, err := kadm.NewClient(client).CreateTopic(ctx, int32(s.createTopic.topicPartitions), -1, nil, s.topic)
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists):
		return nil
	case errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed):
		err = errors.New("no permission to make it")
	case errors.Is(err, kerr.PolicyViolation) && made.ErrMessage != "":
		err = fmt.Errorf("the broker's policy forbids it: %s", made.ErrMessage)
	case err == nil:
		log.Info("made the topic", "topic", s.topic, "partitions", made.NumPartitions)
		return nil
	}
	return &consumer.TopicError{Topic: s.topic, Reason: fmt.Sprintf("--create-topic: %v", err), Err: err}
}
