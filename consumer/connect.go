package consumer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	connectPause = 250 * time.Millisecond
	// A topic that was made a moment ago is not known to all brokers yet.
	topicPatience = time.Second
)

// connect reaches a broker and learns the topic. It tries until ConnectTimeout,
// since a broker that refuses may be starting; what waiting won't heal ends it at
// once.
func (c *Consumer) connect(ctx context.Context) (kadm.TopicDetail, error) {
	var none kadm.TopicDetail
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.ConnectTimeout, errConnectTimeout)
	defer cancel()
	defer c.brokers.speak()
	var missingSince time.Time
	for attempt := 0; ; attempt++ {
		topics, err := c.adm.ListTopicsWithInternal(ctx, c.cfg.Topic)
		switch {
		case err == nil:
			missing := isAny(topics[c.cfg.Topic].Err, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID)
			if missing && missingSince.IsZero() {
				missingSince = time.Now()
			}
			topic := topics[c.cfg.Topic]
			switch {
			case topic.Err == nil && len(topic.Partitions) > 0:
				return topic, nil
			case topic.Err != nil && missing && time.Since(missingSince) < topicPatience:
			case topic.Err != nil && (missing || !kerr.IsRetriable(topic.Err)):
				return none, topicError(c.cfg.Topic, topic.Err)
			}
			if ctx.Err() != nil {
				return none, topicError(c.cfg.Topic, topic.Err)
			}
		default:
			reason, final := c.whyUnreachable(err)
			if final || errors.Is(context.Cause(ctx), errConnectTimeout) {
				return none, &ConnectError{Brokers: c.cfg.Brokers, Reason: reason, Err: err}
			}
			if ctx.Err() != nil {
				return none, context.Cause(ctx)
			}
			if attempt == 0 {
				c.log.Info("no broker reached yet; trying on", "brokers", c.cfg.Brokers, "for", c.cfg.ConnectTimeout, "reason", reason)
			}
		}
		select {
		case <-time.After(connectPause):
		case <-ctx.Done():
		}
	}
}

var errConnectTimeout = errors.New("the connect timeout is over")

// whyUnreachable says for people why no broker answered, and whether trying again
// is of no use.
func (c *Consumer) whyUnreachable(err error) (reason string, final bool) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errConnectTimeout) {
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
// where we don't. A broker's own words on that are two bytes at best.
func (c *Consumer) wantsTLS() bool {
	if c.cl.OptValue(kgo.DialTLSConfig) != (*tls.Config)(nil) || c.customDialer {
		return false
	}
	for _, addr := range c.cfg.Brokers {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		//nolint:gosec // nothing is sent: only the handshake's outcome counts
		err = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).Handshake()
		_ = conn.Close()
		var alert tls.AlertError
		if err == nil || errors.As(err, &alert) {
			return true
		}
	}
	return false
}
