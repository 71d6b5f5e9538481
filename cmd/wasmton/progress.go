package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/wasmton/wasmton/consumer"
)

const (
	liveInterval = 200 * time.Millisecond // between two drawings of the live line
	rateWindow   = 3 * time.Second        // over which the live line's rate is taken
	logInterval  = 10 * time.Second       // between two progress records where there is no terminal
)

// progress shows how a run is getting on: on a terminal as one live line, else
// as a log record now and then.
type progress struct {
	console *console
	log     *slog.Logger
	stats   func() consumer.Stats
}

// run shows progress until ctx ends, and then takes the live line away.
func (p *progress) run(ctx context.Context) {
	interval, show := logInterval, p.logged()
	if p.console.terminal() {
		interval, show = liveInterval, p.drawn()
		defer p.console.setLive("")
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			show(now)
		}
	}
}

func (p *progress) drawn() func(time.Time) {
	rate := newRateMeter(int(rateWindow / liveInterval))
	return func(now time.Time) {
		s := p.stats()
		p.console.setLive(liveLine(s, rate.add(now, s.Processed), p.console.width()))
	}
}

func (p *progress) logged() func(time.Time) {
	rate := newRateMeter(1)
	rate.add(time.Now(), p.stats().Processed)
	return func(now time.Time) {
		s := p.stats()
		attrs := []any{"rate", math.Round(rate.add(now, s.Processed)), "processed", s.Processed, "failed", s.Failed}
		if s.Lag >= 0 {
			attrs = append(attrs, "lag", s.Lag)
		}
		p.log.Info("progress", append(attrs, "partitions", s.Assigned)...)
	}
}

// rateMeter tells how fast a count grows over the last few samples.
type rateMeter struct {
	samples []sample // a ring; len is how many there are, cap how many there may be
	next    int
}

type sample struct {
	at    time.Time
	count int64
}

// newRateMeter makes a meter that looks back over window samples.
func newRateMeter(window int) *rateMeter { return &rateMeter{samples: make([]sample, 0, window)} }

// add notes a sample and returns the rate since the oldest one kept, per second.
// It is 0 for the first sample.
func (m *rateMeter) add(now time.Time, count int64) float64 {
	if len(m.samples) < cap(m.samples) {
		m.samples = append(m.samples, sample{now, count})
		return perSecond(count-m.samples[0].count, now.Sub(m.samples[0].at))
	}
	oldest := m.samples[m.next]
	m.samples[m.next] = sample{now, count}
	m.next = (m.next + 1) % len(m.samples)
	return perSecond(count-oldest.count, now.Sub(oldest.at))
}

func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// liveLine is the line on the terminal, cut to leave the last column free: a
// terminal that wraps could not erase it.
func liveLine(s consumer.Stats, rate float64, width int) string {
	lag := "unknown"
	if s.Lag >= 0 {
		lag = grouped(s.Lag)
	}
	line := fmt.Sprintf("%s records/s | processed %s | failed %s | lag %s | %s",
		grouped(int64(math.Round(rate))), grouped(s.Processed), grouped(s.Failed), lag, counted(s.Assigned, "partition"))
	return line[:min(len(line), max(0, width-1))]
}

// summaryLine is what a run ends with on standard output. Scripts read it.
func summaryLine(s consumer.Stats) string {
	rate := perSecond(s.Processed, s.Elapsed)
	digits := 0
	if rate < 100 {
		digits = 1
	}
	return fmt.Sprintf("processed=%d failed=%d seconds=%.3f rate=%s",
		s.Processed, s.Failed, s.Elapsed.Seconds(), strconv.FormatFloat(rate, 'f', digits, 64))
}

// grouped formats n with commas between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	head := (len(s)-1)%3 + 1
	var b strings.Builder
	b.WriteString(sign + s[:head])
	for i := head; i < len(s); i += 3 {
		b.WriteString("," + s[i:i+3])
	}
	return b.String()
}

// counted is a number and its noun: 1 partition, 2 partitions.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
