package consumer

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestRecordPool(t *testing.T) {
	var p recordPool
	for _, n := range []int{0, 1, 2, 3, 4, 5, 100, 1000, 1024, 1025, 1 << maxPoolClass} {
		s := p.GetRecords(n)
		if len(s) != 0 || cap(s) < n || cap(s) > max(1, 2*n) {
			t.Errorf("for %d: length %d, capacity %d", n, len(s), cap(s))
		}
		if cap(s)&(cap(s)-1) != 0 {
			t.Errorf("for %d: a capacity of %d", n, cap(s))
		}
		p.PutRecords(s[:cap(s)])
		if again := p.GetRecords(n); len(again) != 0 || cap(again) != cap(s) {
			t.Errorf("for %d: length %d, capacity %d the second time", n, len(again), cap(again))
		}
	}
	// Slices that are not of a class are left to the collector.
	large := p.GetRecords(1<<maxPoolClass + 1)
	if cap(large) < 1<<maxPoolClass+1 {
		t.Errorf("capacity %d", cap(large))
	}
	p.PutRecords(large)
	p.PutRecords(nil)
	p.PutRecords(make([]kgo.Record, 0, 3))
	if s := p.GetRecords(4); cap(s) != 4 {
		t.Errorf("a slice of 3 came back as one of %d", cap(s))
	}
}

func TestRecordPoolDoesNotAllocateForASliceThatItHas(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool drops things at random")
	}
	var p recordPool
	p.PutRecords(make([]kgo.Record, 0, 64))
	if n := testing.AllocsPerRun(100, func() { p.PutRecords(p.GetRecords(64)) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBrokerWatchSpeaksOnce(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	b := &brokerWatch{log: log, away: map[string]bool{}, quiet: true}
	one, two := kgo.BrokerMetadata{Host: "one", Port: 1}, kgo.BrokerMetadata{Host: "two", Port: 2}
	refused := errors.New("refused")

	b.OnBrokerConnect(one, 0, nil, refused) // Run reports by itself at the start
	if got := b.lastErr(); !errors.Is(got, refused) {
		t.Errorf("the last error is %v", got)
	}
	b.OnBrokerConnect(one, 0, nil, nil)
	b.speak()
	b.OnBrokerConnect(one, 0, nil, nil)
	for range 3 {
		b.OnBrokerConnect(one, 0, nil, refused)
		b.OnBrokerConnect(two, 0, nil, nil)
	}
	b.OnBrokerConnect(two, 0, nil, context.Canceled)
	b.OnBrokerConnect(two, 0, nil, kgo.ErrClientClosed)
	for range 3 {
		b.OnBrokerConnect(one, 0, nil, nil)
	}
	want := `level=WARN msg="a broker can't be reached; trying on" broker=one:1 error=refused
level=INFO msg="the broker is back" broker=one:1
`
	if out.String() != want {
		t.Errorf("logged:\n%swant:\n%s", out.String(), want)
	}
}

func TestClientLoggerIsQuietUnlessDebugging(t *testing.T) {
	var out strings.Builder
	quiet := clientLogger{slog.New(slog.NewTextHandler(&out, nil))}
	if quiet.Level() != kgo.LogLevelNone {
		t.Errorf("the level is %v", quiet.Level())
	}
	debug := clientLogger{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if debug.Level() != kgo.LogLevelInfo {
		t.Errorf("the level is %v", debug.Level())
	}
	debug.Log(kgo.LogLevelWarn, "what", "key", 1)
	if !strings.Contains(out.String(), `msg="kafka client: what" key=1 client_level=WARN`) {
		t.Errorf("logged: %s", out.String())
	}
}

func TestWakerKeepsOneSignal(t *testing.T) {
	w := newWaker()
	for range 3 {
		w.OnFetchBatchRead(kgo.BrokerMetadata{}, "", 0, kgo.FetchBatchMetrics{})
		w.OnGroupManageError(nil)
	}
	<-w
	select {
	case <-w:
		t.Error("a second signal")
	default:
	}
}
