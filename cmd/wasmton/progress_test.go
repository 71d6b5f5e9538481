package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wasmton/wasmton/consumer"
)

func TestSummaryLine(t *testing.T) {
	for _, c := range []struct {
		stats consumer.Stats
		want  string
	}{
		{consumer.Stats{}, "processed=0 failed=0 seconds=0.000 rate=0.0"},
		{consumer.Stats{Processed: 3_000_000, Failed: 2, Elapsed: 1500 * time.Millisecond}, "processed=3000000 failed=2 seconds=1.500 rate=2000000"},
		{consumer.Stats{Processed: 7, Elapsed: 2 * time.Second}, "processed=7 failed=0 seconds=2.000 rate=3.5"},
	} {
		if got := summaryLine(c.stats); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestLiveLine(t *testing.T) {
	s := consumer.Stats{Processed: 1234567, Failed: 1, Lag: -1, Assigned: 1}
	if got, want := liveLine(s, 999.6, 200), "1,000 records/s | processed 1,234,567 | failed 1 | lag unknown | 1 partition"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	s.Lag, s.Assigned = 100, 2
	if got, want := liveLine(s, 0, 200), "0 records/s | processed 1,234,567 | failed 1 | lag 100 | 2 partitions"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for width := range 100 {
		if got := liveLine(s, 0, width); len(got) > max(0, width-1) {
			t.Errorf("at a width of %d the line wraps: %q", width, got)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 9: "9", 999: "999", 1000: "1,000", 12345: "12,345", 123456: "123,456", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestRateMeterLooksBackOverItsWindow(t *testing.T) {
	m := newRateMeter(2)
	start := time.Unix(0, 0)
	for i, c := range []struct {
		seconds float64
		count   int64
		want    float64
	}{
		{0, 100, 0},   // nothing to compare with
		{1, 110, 10},  // since 0
		{2, 130, 15},  // since 0
		{3, 230, 60},  // since 1
		{4, 230, 50},  // since 2
		{5, 230, 0},   // since 3
		{5, 999, 769}, // since 4
	} {
		if got := m.add(start.Add(time.Duration(c.seconds*float64(time.Second))), c.count); got != c.want {
			t.Errorf("sample %d: %v, want %v", i, got, c.want)
		}
	}
}

func TestOnATerminalOneLineIsRedrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := &console{w: &out, fd: 1 << 20} // taken for a terminal that does not tell its width
		var n int64
		p := &progress{console: c, stats: func() consumer.Stats { n += 10; return consumer.Stats{Processed: n} }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second+time.Millisecond)
		defer cancel()
		p.run(ctx)
		if got := strings.Count(out.String(), "processed"); got != 5 {
			t.Errorf("%d lines in a second, want 5: %q", got, out.String())
		}
		if !strings.Contains(out.String(), "50 records/s") {
			t.Errorf("ten records each 200 ms are not 50 a second: %q", out.String())
		}
		if strings.Contains(out.String(), "\n") || !strings.HasSuffix(out.String(), eraseLine) {
			t.Errorf("the line moves on or stays: %q", out.String())
		}
	})
}

func TestElsewhereProgressIsLoggedEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := &console{w: &out, fd: -1}
		stats := consumer.Stats{Lag: -1, Assigned: 3}
		p := &progress{console: c, log: (&logOptions{logFormat: formatText}).newLogger(c), stats: func() consumer.Stats {
			stats.Processed += 1000
			return stats
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		p.run(ctx)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 || !strings.HasSuffix(lines[0], "progress  rate=100 processed=2000 failed=0 partitions=3") ||
			!strings.HasSuffix(lines[1], "rate=100 processed=3000 failed=0 partitions=3") {
			t.Errorf("%q", lines)
		}
	})
}
