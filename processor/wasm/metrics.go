package wasm

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wasmton/wasmton/wasihost"
)

// metrics are what a Module counts. Nothing here is touched per record unless the
// record fails or the guest writes a line.
type metrics struct {
	registry   prometheus.Registerer // nil: nobody looks
	collectors []prometheus.Collector

	started        prometheus.Counter
	failures       *prometheus.CounterVec
	recycles       *prometheus.CounterVec
	stdout, stderr prometheus.Counter
}

func newMetrics(registry prometheus.Registerer, m *Module) (*metrics, error) {
	lines := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wasmton_guest_lines_total", Help: "Lines that guests wrote, by stream.",
	}, []string{"stream"})
	t := &metrics{
		registry: registry,
		started: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wasmton_guest_starts_total", Help: "Guest instances made.",
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wasmton_guest_failures_total", Help: "Tasks that failed in the guest, by kind: trap, timeout, exit, result.",
		}, []string{"kind"}),
		recycles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wasmton_guest_recycled_total", Help: "Instances replaced though nothing was wrong with them, by reason: memory, tasks, age, reload.",
		}, []string{"reason"}),
		stdout: lines.WithLabelValues(wasihost.Stdout.String()),
		stderr: lines.WithLabelValues(wasihost.Stderr.String()),
	}
	live := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "wasmton_guest_instances", Help: "Guest instances alive.",
	}, func() float64 { return float64(m.pool.count()) })
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "wasmton_guest_instances_limit", Help: "The bound on guest instances alive. At the bound, lanes wait for one another.",
	})
	limit.Set(float64(m.cfg.MaxInstances))

	if registry == nil {
		return t, nil
	}
	for _, c := range []prometheus.Collector{info{m}, t.started, live, limit, t.failures, t.recycles, lines} {
		if err := registry.Register(c); err != nil {
			t.unregister()
			return nil, fmt.Errorf("metrics of module %s: %w", m.Guest().Name(), err)
		}
		t.collectors = append(t.collectors, c)
	}
	return t, nil
}

// info says which module is at work. It is asked at each scrape, since Swap changes
// it.
type info struct{ m *Module }

var infoDesc = prometheus.NewDesc("wasmton_module_info", "The module at work, in its labels; always 1.",
	[]string{"module", "digest", "contract"}, nil)

// Describe implements prometheus.Collector.
func (info) Describe(to chan<- *prometheus.Desc) { to <- infoDesc }

// Collect implements prometheus.Collector.
func (i info) Collect(to chan<- prometheus.Metric) {
	guest := i.m.Guest()
	digest := guest.Digest()
	to <- prometheus.MustNewConstMetric(infoDesc, prometheus.GaugeValue, 1,
		guest.Name(), "sha256:"+hex.EncodeToString(digest[:]), Contract(guest))
}

func (t *metrics) unregister() {
	for _, c := range t.collectors {
		t.registry.Unregister(c)
	}
	t.collectors = nil
}

// failed counts a task that failed with err.
func (t *metrics) failed(err error) { t.failures.WithLabelValues(failureKind(err)).Inc() }

// recycled counts an instance that was replaced.
func (t *metrics) recycled(why reason) { t.recycles.WithLabelValues(string(why)).Inc() }

func (t *metrics) line(s wasihost.Stream) {
	if s == wasihost.Stderr {
		t.stderr.Inc()
	} else {
		t.stdout.Inc()
	}
}

func failureKind(err error) string {
	if _, ok := errors.AsType[*wasihost.TrapError](err); ok {
		return "trap"
	}
	if _, ok := errors.AsType[*wasihost.TimeoutError](err); ok {
		return "timeout"
	}
	if _, ok := errors.AsType[*wasihost.ExitError](err); ok {
		return "exit"
	}
	if _, ok := errors.AsType[*wasihost.ResultError](err); ok {
		return "result"
	}
	return "other"
}
