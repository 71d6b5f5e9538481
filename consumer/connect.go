package consumer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
)

const (
	connectPause = 250 * time.Millisecond
	// A topic that was made a moment ago is not known to all brokers yet.
	topicPatience = time.Second
	tlsPatience   = time.Second
)

// topicInfo is what the consumer must know of its topic.
type topicInfo struct {
	id         [16]byte // zero where the broker gives none
	partitions int
}

// connect reaches a broker and learns the topic. It tries until ConnectTimeout,
// since a broker that refuses may be starting; what waiting won't heal ends it at
// once.
func (c *Consumer) connect(parent context.Context) (topicInfo, error) {
	ctx, cancel := context.WithTimeout(parent, c.cfg.ConnectTimeout)
	defer cancel()
	defer c.brokers.speak()
	var (
		reached time.Time // when a broker answered first
		why     unreachable
	)
	for attempt := 0; ; attempt++ {
		topic, answered, err := c.describeTopic(ctx)
		switch {
		case err == nil:
			return topic, nil
		case parent.Err() != nil:
			return topic, parent.Err()
		case answered:
			if reached.IsZero() {
				reached = time.Now()
			}
			patience := c.cfg.ConnectTimeout // for a leader to be found
			if isAny(err, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID) {
				patience = topicPatience
			}
			if !kerr.IsRetriable(err) || time.Since(reached) >= patience {
				return topic, topicError(c.cfg.Topic, err)
			}
		case ctx.Err() == nil || attempt == 0:
			if why = c.whyUnreachable(err); why.final {
				return topic, &ConnectError{Brokers: c.cfg.Brokers, Reason: why.reason, Err: err}
			}
			if attempt == 0 && ctx.Err() == nil {
				c.log.Info("no broker reached yet; trying on",
					"brokers", c.cfg.Brokers, "for", c.cfg.ConnectTimeout, "reason", why.reason)
			}
		}
		if ctx.Err() != nil && !answered {
			return topic, &ConnectError{Brokers: c.cfg.Brokers, Reason: why.reason, Err: err}
		}
		select {
		case <-time.After(connectPause):
		case <-ctx.Done():
		}
	}
}

// describeTopic asks a broker for the topic. An error is the broker's if it
// answered.
//
// The client does not look at ctx while it waits for the first words of a broker,
// for up to ten seconds. So it is asked aside; closing the client ends that, and Run
// joins it then.
func (c *Consumer) describeTopic(ctx context.Context) (topic topicInfo, answered bool, err error) {
	done := make(chan func() (topicInfo, bool, error), 1)
	c.asking.Go(func() {
		topic, answered, err := c.askForTopic(ctx)
		done <- func() (topicInfo, bool, error) { return topic, answered, err }
	})
	select {
	case result := <-done:
		return result()
	case <-ctx.Done():
		return topicInfo{}, false, ctx.Err()
	}
}

func (c *Consumer) askForTopic(ctx context.Context) (topic topicInfo, answered bool, err error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &c.cfg.Topic
	req.Topics = append(req.Topics, t)
	// The client keeps what it was told for seconds, errors too; this asks anew.
	resp, err := c.cl.RequestCachedMetadata(ctx, req, time.Nanosecond)
	if err != nil {
		return topic, false, err
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return topic, true, err
		}
		if len(t.Partitions) > 0 {
			return topicInfo{t.TopicID, len(t.Partitions)}, true, nil
		}
	}
	return topic, true, kerr.LeaderNotAvailable // it is being made
}

// unreachable is why no broker answered.
type unreachable struct {
	reason string // for people
	final  bool   // trying again is of no use
}

func (c *Consumer) whyUnreachable(err error) unreachable {
	reason, final := c.unreachable(err)
	return unreachable{reason, final}
}

func (c *Consumer) unreachable(err error) (reason string, final bool) {
	if errors.Is(err, context.DeadlineExceeded) {
		// The time is over; what happened before is the reason.
		if last := c.brokers.lastErr(); last != nil {
			err = last
		}
	}
	var (
		dns     *net.DNSError
		first   *kgo.ErrFirstReadEOF
		certErr *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		kafka   *kerr.Error
		netErr  net.Error
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("no such host %q: the name can't be resolved", dns.Name), false
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %q can't be resolved: %v", dns.Name, dns.Err), false
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no broker listens there", false
	case isAny(err, kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState):
		return fmt.Sprintf("authentication failed: %v", err), true
	case errors.As(err, &certErr), errors.As(err, &alert):
		return fmt.Sprintf("TLS: %v", err), true
	case errors.As(err, &record):
		return "it answers, but not with TLS: is the port for plaintext?", true
	case errors.As(err, &kafka):
		return kafka.Error(), !kerr.IsRetriable(kafka)
	case errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("time-out: no answer within %v", c.cfg.ConnectTimeout), false
	case errors.As(err, &first), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		if c.wantsTLS() {
			return "it expects TLS, and the client uses none", true
		}
		if c.cl.OptValue(kgo.SASL) != nil && len(c.cl.OptValue(kgo.SASL).([]sasl.Mechanism)) > 0 {
			return "it closes the connection at once: it does not like the credentials, or is no Kafka broker, or is starting", false
		}
		return "it closes the connection at once: it is no Kafka broker, or expects TLS or SASL, or is starting", false
	case errors.As(err, &netErr):
		return err.Error(), false
	}
	if c.wantsTLS() {
		return "it expects TLS, and the client uses none", true
	}
	return fmt.Sprintf("it answers, but not as a Kafka broker: %v", err), true
}

// wantsTLS shakes hands with the brokers to learn whether one of them speaks TLS
// where we don't. A broker's own words on that are two bytes at best. It asks once.
func (c *Consumer) wantsTLS() bool {
	c.askTLS.Do(func() { c.speakTLS = c.tryTLS() })
	return c.speakTLS
}

func (c *Consumer) tryTLS() bool {
	if c.cl.OptValue(kgo.DialTLSConfig) != (*tls.Config)(nil) {
		return false
	}
	return slices.ContainsFunc(c.cfg.Brokers, c.shakeHands)
}

func (c *Consumer) shakeHands(addr string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), tlsPatience)
	defer cancel()
	conn, err := c.dial(ctx, addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	// Nothing is sent: only the handshake's outcome counts.
	err = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
	_, alert := errors.AsType[tls.AlertError](err)
	return err == nil || alert
}

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// dial connects as the client does.
func (c *Consumer) dial(ctx context.Context, addr string) (net.Conn, error) {
	if dial, ok := c.cl.OptValue(kgo.Dialer).(dialer); ok && dial != nil {
		return dial(ctx, "tcp", addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}
