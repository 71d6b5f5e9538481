package consumer_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/consumer/consumertest"
)

// listen serves each connection by a function, until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// certificate makes a self-signed certificate for localhost.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestConnectErrorsSayWhatHappened(t *testing.T) {
	t.Parallel()
	const timeout = 700 * time.Millisecond
	for name, c := range map[string]struct {
		addr func(t *testing.T) string
		opts []kgo.Opt
		want string // how the reason begins
		soon bool   // without waiting for the timeout
	}{
		"nobody listens": {
			func(t *testing.T) string {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				return l.Addr().String()
			}, nil, "connection refused: no broker listens there", false,
		},
		"no such host": {
			func(*testing.T) string { return "nowhere.invalid:9092" }, []kgo.Opt{kgo.Dialer(noSuchHost)},
			`no such host "nowhere.invalid": the name can't be resolved`, false,
		},
		"a web server": {
			func(t *testing.T) string {
				return listen(t, func(c net.Conn) {
					_, _ = bufio.NewReader(c).ReadByte()
					_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
				})
			}, nil, "it answers, but not as a Kafka broker", true,
		},
		"a server that hangs up": {
			func(t *testing.T) string { return listen(t, func(net.Conn) {}) }, nil,
			"it closes the connection at once: it is no Kafka broker, or expects TLS or SASL, or is starting", false,
		},
		"a server that says nothing": {
			func(t *testing.T) string {
				return listen(t, func(c net.Conn) {
					_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
					for b := make([]byte, 100); ; {
						if _, err := c.Read(b); err != nil {
							return
						}
					}
				})
			}, nil, "time-out: no answer within 700ms", false,
		},
		"a broker that expects TLS": {
			func(t *testing.T) string {
				return fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate(t)}}))
			}, nil, "it expects TLS, and the client uses none", true,
		},
		"a certificate that nobody knows": {
			func(t *testing.T) string {
				return fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate(t)}}))
			}, []kgo.Opt{kgo.DialTLSConfig(&tls.Config{ServerName: "localhost"})}, "TLS: ", true,
		},
		"TLS to a plain broker": {
			func(t *testing.T) string { return fake(t) }, []kgo.Opt{kgo.DialTLSConfig(&tls.Config{ServerName: "localhost"})},
			"time-out", false, // it waits for the rest of a request
		},
		"a wrong password, and it hangs up": {
			func(t *testing.T) string { return fake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "a", "b")) },
			[]kgo.Opt{kgo.SASL(plain.Auth{User: "a", Pass: "wrong"}.AsMechanism())},
			"it closes the connection at once: it does not like the credentials", false,
		},
		"a wrong password": {
			func(t *testing.T) string {
				cl := fakeCluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "a", "b"))
				cl.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, Err: kerr.SaslAuthenticationFailed, Count: -1})
				return cl.ListenAddrs()[0]
			},
			[]kgo.Opt{kgo.SASL(plain.Auth{User: "a", Pass: "wrong"}.AsMechanism())}, "authentication failed: ", true,
		},
		"no password": {
			func(t *testing.T) string { return fake(t, kfake.EnableSASL()) }, nil,
			"it closes the connection at once: it is no Kafka broker, or expects TLS or SASL, or is starting", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := c.addr(t)
			a, err := consumer.New(consumer.Config{
				Brokers: []string{addr}, Topic: "t", Group: "g", Factory: consumertest.Noop,
				ConnectTimeout: timeout, Logger: slog.New(slog.DiscardHandler), ClientOptions: c.opts,
			})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			err = a.Run(t.Context())
			took := time.Since(start)
			var failed *consumer.ConnectError
			if !errors.As(err, &failed) || !strings.HasPrefix(failed.Reason, c.want) || failed.Brokers[0] != addr {
				t.Fatalf("Run returned %v, want %s", err, c.want)
			}
			if want := "can't reach Kafka at " + addr + ": " + failed.Reason; err.Error() != want {
				t.Errorf("the error says %q, want %q", err, want)
			}
			if c.soon && took >= timeout {
				t.Errorf("it was tried for %v although that is of no use", took)
			}
		})
	}
}

// noSuchHost is what a dialer says of a name that does not exist; asking a real
// resolver would take as long as the network likes.
func noSuchHost(_ context.Context, network, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
}

// fake starts a fake cluster on the loopback network.
func fake(t *testing.T, opts ...kfake.Opt) string {
	t.Helper()
	return fakeCluster(t, opts...).ListenAddrs()[0]
}

func fakeCluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cl, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "t")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// A broker that is started after the consumer is waited for.
func TestABrokerThatStartsLater(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	addr := l.Addr().String()
	_ = l.Close()
	tried := make(chan struct{}, 100)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		tried <- struct{}{}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	a, err := consumer.New(consumer.Config{
		Brokers: []string{addr}, Topic: "t", Group: "g", Factory: consumertest.Noop, UntilEnd: true,
		Logger: slog.New(slog.DiscardHandler), ClientOptions: []kgo.Opt{kgo.Dialer(dial)},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(context.Background()) }()
	<-tried // refused
	fake(t, kfake.Ports(port))
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A stop while no broker was reached is a stop, not an error.
func TestAStopBeforeABrokerWasReached(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a, err := consumer.New(consumer.Config{
		Brokers: []string{"127.0.0.1:1"}, Topic: "t", Group: "g", Factory: consumertest.Noop,
		Logger: slog.New(slog.DiscardHandler),
		ClientOptions: []kgo.Opt{kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			cancel()
			return noSuchHost(ctx, network, addr)
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(ctx); err != nil {
		t.Errorf("Run returned %v", err)
	}
}
