package consumer

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// measured is a consumer with two partitions in a known state.
func measured(t *testing.T, reg Registerer) *Consumer {
	t.Helper()
	c := detached(t, Config{Factory: done{}, Metrics: reg, MaxPendingRecords: 10})
	p := c.attach(0)
	p.begin(5, -1, 5)
	p.admit(records(5, 3), 20)
	waitFor(t, func() bool { return p.gauges().pending == 0 })
	p.counts.took = histogram{} // times differ from run to run
	p.counts.took.observe(2, 3*time.Microsecond)
	p.counts.took.observe(1, 2*time.Minute)
	p.counts.failed.Add(1)
	p.drain()
	<-p.done
	c.lanes.Wait()
	c.attach(7) // nothing is known of it yet
	c.commitsDone.Add(3)
	c.commitsFailed.Add(1)
	c.commitTook.observe(1, time.Millisecond)
	c.rebalances.Add(2)
	return c
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	c := measured(t, reg)
	unregister, err := c.register()
	if err != nil {
		t.Fatal(err)
	}
	want := `
# HELP wasmton_records_processed_total Records by what became of them: done, failed, interrupted.
# TYPE wasmton_records_processed_total counter
wasmton_records_processed_total{group="g",outcome="done",partition="0",topic="t"} 3
wasmton_records_processed_total{group="g",outcome="done",partition="7",topic="t"} 0
wasmton_records_processed_total{group="g",outcome="failed",partition="0",topic="t"} 1
wasmton_records_processed_total{group="g",outcome="failed",partition="7",topic="t"} 0
wasmton_records_processed_total{group="g",outcome="interrupted",partition="0",topic="t"} 0
wasmton_records_processed_total{group="g",outcome="interrupted",partition="7",topic="t"} 0
# HELP wasmton_records_pending Records that are fetched and not settled.
# TYPE wasmton_records_pending gauge
wasmton_records_pending{group="g",partition="0",topic="t"} 0
wasmton_records_pending{group="g",partition="7",topic="t"} 0
# HELP wasmton_pending_bytes Memory that pending records count for.
# TYPE wasmton_pending_bytes gauge
wasmton_pending_bytes{group="g",partition="0",topic="t"} 0
wasmton_pending_bytes{group="g",partition="7",topic="t"} 0
# HELP wasmton_partition_paused 1 while the partition is not fetched, since it has as many pending records as allowed.
# TYPE wasmton_partition_paused gauge
wasmton_partition_paused{group="g",partition="0",topic="t"} 0
wasmton_partition_paused{group="g",partition="7",topic="t"} 0
# HELP wasmton_watermark_offset Every record below is settled.
# TYPE wasmton_watermark_offset gauge
wasmton_watermark_offset{group="g",partition="0",topic="t"} 8
# HELP wasmton_committed_offset The group's committed offset.
# TYPE wasmton_committed_offset gauge
wasmton_committed_offset{group="g",partition="0",topic="t"} 5
# HELP wasmton_consumer_lag_records Offsets between the watermark and the end of the partition.
# TYPE wasmton_consumer_lag_records gauge
wasmton_consumer_lag_records{group="g",partition="0",topic="t"} 12
# HELP wasmton_partitions_assigned Partitions that are this member's.
# TYPE wasmton_partitions_assigned gauge
wasmton_partitions_assigned{group="g",topic="t"} 2
# HELP wasmton_commits_total Commits that succeeded.
# TYPE wasmton_commits_total counter
wasmton_commits_total{group="g",topic="t"} 3
# HELP wasmton_commit_failures_total Commits that failed, in whole or in part.
# TYPE wasmton_commit_failures_total counter
wasmton_commit_failures_total{group="g",topic="t"} 1
# HELP wasmton_rebalances_total Times that partitions were given, revoked or lost.
# TYPE wasmton_rebalances_total counter
wasmton_rebalances_total{group="g",topic="t"} 2
`
	var names []string
	for line := range strings.Lines(want) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "TYPE" {
			names = append(names, f[2])
		}
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range families {
		all = append(all, f.GetName())
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains([]string{"topic", "group", "partition", "outcome"}, l.GetName()) {
					t.Errorf("%s has a label %s", f.GetName(), l.GetName())
				}
			}
		}
		if f.GetName() != "wasmton_process_duration_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if h.GetSampleCount() != 3 || h.GetSampleSum() < 120 || h.GetSampleSum() > 120.1 {
			t.Errorf("%d records took %v s", h.GetSampleCount(), h.GetSampleSum())
		}
		for _, b := range h.GetBucket() {
			want := uint64(0)
			if b.GetUpperBound() > 3e-6 {
				want = 2 // the third is beyond all buckets
			}
			if b.GetCumulativeCount() != want {
				t.Errorf("%d took up to %v s, want %d", b.GetCumulativeCount(), b.GetUpperBound(), want)
			}
		}
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	if n := len(names) + 2; len(all) != n { // and the histograms
		t.Errorf("%d metrics, want %d: %v", len(all), n, all)
	}
	unregister()
	if families, err := reg.Gather(); err != nil || len(families) != 0 {
		t.Errorf("%d metrics are left: %v", len(families), err)
	}
}

type refusing struct{ Registerer }

func (refusing) Register(prometheus.Collector) error { return errors.New("full") }

func TestMetricsThatCannotBeRegistered(t *testing.T) {
	cfg := valid()
	cfg.Metrics = refusing{}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); err == nil || err.Error() != "consumer: metrics: full" {
		t.Errorf("Run returned %v", err)
	}
}

func TestStats(t *testing.T) {
	c := measured(t, nil)
	if s := c.Stats(); s.Processed != 3 || s.Failed != 1 || s.Assigned != 2 || s.Lag != -1 || s.Elapsed != 0 {
		t.Errorf("%+v: the lag of one partition is not known", s)
	}
	c.parts[7].begin(100, -1, -1)
	c.parts[7].admit(nil, 140)
	if s := c.Stats(); s.Lag != 52 {
		t.Errorf("%+v, want a lag of 12 and 40", s)
	}
	if s := detached(t, Config{Factory: done{}}).Stats(); s.Lag != -1 || s.Assigned != 0 {
		t.Errorf("%+v, and nothing is assigned", s)
	}
}

func TestHistogramBounds(t *testing.T) {
	if histogramBound(0) != time.Microsecond || histogramBound(histogramBuckets-1) < time.Minute {
		t.Errorf("from %v to %v", histogramBound(0), histogramBound(histogramBuckets-1))
	}
	for d, want := range map[time.Duration]int{
		0: 0, time.Microsecond: 0, time.Microsecond + 1: 1, 4 * time.Microsecond: 1,
		histogramBound(histogramBuckets - 1):   histogramBuckets - 1,
		histogramBound(histogramBuckets-1) + 1: histogramBuckets,
		time.Hour:                              histogramBuckets,
	} {
		var h histogram
		h.observe(3, d)
		if h.buckets[want].Load() != 3 || h.sum.Load() != int64(3*d) {
			t.Errorf("%v is not in bucket %d", d, want)
		}
	}
}
