package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// status serves what operators ask of a process: /metrics for Prometheus, and
// for Kubernetes /livez (also as /healthz) and /readyz.
//
// Live means that the process answers. It does not depend on the broker: to
// restart every pod because a broker is away would help nobody. Ready means that
// this member has joined its group, whether it has partitions or stands by, and
// is not stopping.
type status struct {
	registry *prometheus.Registry
	joined   atomic.Bool // once; a member that the group loses joins again by itself
	stopping atomic.Bool
	reload   http.Handler // of POST /reload
	server   *http.Server
	served   sync.WaitGroup
}

func newStatus() *status {
	s := &status{registry: prometheus.NewRegistry()}
	s.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return s
}

// OnBrokerE2E makes status a hook of the Kafka client: an answer to SyncGroup is
// what a member gets its partitions by, also if they are none.
func (s *status) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key == kmsg.SyncGroup.Int16() && e2e.Err() == nil {
		s.joined.Store(true)
	}
}

// listen starts to serve on addr, and logs the address, which matters where the
// port was 0. It does nothing if addr is "".
func (s *status) listen(addr string, log *slog.Logger) error {
	if addr == "" {
		return nil
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("--metrics-addr %s: %w", addr, listenReason(err))
	}
	s.server = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second, // else a client that says nothing holds a connection for ever
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.served.Go(func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are served no more", "error", err)
		}
	})
	log.Info("serving metrics", "url", "http://"+listener.Addr().String()+"/metrics")
	return nil
}

func (s *status) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", answerOK)
	mux.HandleFunc("GET /healthz", answerOK)
	if s.reload != nil {
		mux.Handle("POST /reload", s.reload)
	}
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.stopping.Load():
			http.Error(w, "stopping", http.StatusServiceUnavailable)
		case !s.joined.Load():
			http.Error(w, "not yet a member of the consumer group", http.StatusServiceUnavailable)
		default:
			answerOK(w, r)
		}
	})
	return mux
}

func answerOK(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // a client that went away
}

// close stops serving and waits for it. Scrapes in flight get a second.
func (s *status) close() {
	if s.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		_ = s.server.Close()
	}
	s.served.Wait()
}

// listenReason is the plain reason why an address can't be listened on.
func listenReason(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Err
	}
	return err
}
