package consumer

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Registerer is where metrics are registered: a *prometheus.Registry is one.
type Registerer = prometheus.Registerer

// collector makes metrics when it is asked for them, of what the consumer counts
// anyway: processing does not know of it. Labels are the topic, the partition's
// number and outcomes, never a key or an offset.
type collector struct {
	c *Consumer

	records, duration                                 *prometheus.Desc
	pending, pendingBytes, paused                     *prometheus.Desc
	watermark, committed, lag, assigned               *prometheus.Desc
	commits, commitFailures, commitSeconds, rebalance *prometheus.Desc
}

func newCollector(c *Consumer) *collector {
	constant := prometheus.Labels{"topic": c.cfg.Topic, "group": c.cfg.Group}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("wasmton_"+name, help, labels, constant)
	}
	return &collector{
		c:              c,
		records:        desc("records_processed_total", "Records by what became of them: done, failed, interrupted.", "partition", "outcome"),
		duration:       desc("process_duration_seconds", "Time to process a record. A batch counts as so many records of its mean.", "partition"),
		pending:        desc("records_pending", "Records that are fetched and not settled.", "partition"),
		pendingBytes:   desc("pending_bytes", "Memory that pending records count for.", "partition"),
		paused:         desc("partition_paused", "1 while the partition is not fetched, since it has as many pending records as allowed.", "partition"),
		watermark:      desc("watermark_offset", "Every record below is settled.", "partition"),
		committed:      desc("committed_offset", "The group's committed offset.", "partition"),
		lag:            desc("consumer_lag_records", "Offsets between the watermark and the end of the partition.", "partition"),
		assigned:       desc("partitions_assigned", "Partitions that are this member's."),
		commits:        desc("commits_total", "Commits that succeeded."),
		commitFailures: desc("commit_failures_total", "Commits that failed, in whole or in part."),
		commitSeconds:  desc("commit_duration_seconds", "Time of a commit."),
		rebalance:      desc("rebalances_total", "Times that partitions were given, revoked or lost."),
	}
}

// register registers the metrics, and returns what takes them back.
func (c *Consumer) register() (unregister func(), err error) {
	if c.cfg.Metrics == nil {
		return func() {}, nil
	}
	col := newCollector(c)
	if err := c.cfg.Metrics.Register(col); err != nil {
		return nil, err
	}
	return func() { c.cfg.Metrics.Unregister(col) }, nil
}

// Describe implements prometheus.Collector.
func (m *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.records, m.duration, m.pending, m.pendingBytes, m.paused, m.watermark, m.committed,
		m.lag, m.assigned, m.commits, m.commitFailures, m.commitSeconds, m.rebalance,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c := m.c
	c.countsMu.Lock()
	for id, n := range c.counted {
		partition := strconv.Itoa(int(id))
		counter(m.records, n.done.Load(), partition, "done")
		counter(m.records, n.failed.Load(), partition, "failed")
		counter(m.records, n.interrupted.Load(), partition, "interrupted")
		ch <- n.took.metric(m.duration, partition)
	}
	c.countsMu.Unlock()

	owned := c.owned()
	gauge(m.assigned, float64(len(owned)))
	for _, p := range owned {
		partition, g := strconv.Itoa(int(p.id)), p.gauges()
		gauge(m.pending, float64(g.pending), partition)
		gauge(m.pendingBytes, float64(g.bytes), partition)
		gauge(m.paused, toFloat(g.paused), partition)
		if g.watermark >= 0 {
			gauge(m.watermark, float64(g.watermark), partition)
		}
		if g.committed >= 0 {
			gauge(m.committed, float64(g.committed), partition)
		}
		if g.lag >= 0 {
			gauge(m.lag, float64(g.lag), partition)
		}
	}
	counter(m.commits, c.commitsDone.Load())
	counter(m.commitFailures, c.commitsFailed.Load())
	ch <- c.commitTook.metric(m.commitSeconds)
	counter(m.rebalance, c.rebalances.Load())
}

// metric returns the histogram as Prometheus has it, with cumulative buckets.
func (h *histogram) metric(d *prometheus.Desc, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, histogramBuckets)
	var n uint64
	for i := range histogramBuckets {
		n += h.buckets[i].Load()
		buckets[histogramBound(i).Seconds()] = n
	}
	n += h.buckets[histogramBuckets].Load()
	return prometheus.MustNewConstHistogram(d, n, time.Duration(h.sum.Load()).Seconds(), buckets, labels...)
}

func toFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
