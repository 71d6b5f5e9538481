package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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
	ready    atomic.Bool
	server   *http.Server
	served   chan error
}

func newStatus() *status {
	s := &status{registry: prometheus.NewRegistry()}
	s.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return s
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
	s.served = make(chan error, 1)
	go func() { s.served <- s.server.Serve(listener) }() // joined by close
	log.Info("serving metrics", "url", "http://"+listener.Addr().String()+"/metrics")
	return nil
}

func (s *status) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", answerOK)
	mux.HandleFunc("GET /healthz", answerOK)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if !s.ready.Load() {
			http.Error(w, "not a member of the consumer group", http.StatusServiceUnavailable)
			return
		}
		answerOK(w, r)
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
	<-s.served
}

// listenReason is the plain reason why an address can't be listened on.
func listenReason(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Err
	}
	return err
}
