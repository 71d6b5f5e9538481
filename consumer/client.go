package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"net"
	"reflect"
	"sync"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchMaxWait is how long a broker holds a fetch that has nothing to answer.
//
// A partition that is resumed while such a fetch is under way for others waits until
// it returns. Measured with one partition idle and another at its bound of 20,000
// records, which take 5 µs each: a million took 5.3 s at 100 ms, 8.1 s at 500 ms and
// 36 s at kgo's default of 5 s, where 5.0 s is the limit. A partition is resumed at
// half of its bounds, so at 100 ms only a lane that eats half of them in that time
// can run dry. The price is ten small requests a second to each broker: an idle
// consumer took 0.3 % of a core, and 0.1 % at 5 s.
const fetchMaxWait = 100 * time.Millisecond

// minRebalanceTimeout is kgo's and Java's default.
const minRebalanceTimeout = time.Minute

// rebalanceTimeout is how long the group waits for a member that drains. Others
// need time, too, so it is well over what we take.
func rebalanceTimeout(drain time.Duration) time.Duration {
	return max(minRebalanceTimeout, 2*drain+20*time.Second)
}

// clientOptions returns the options of the client: what we would like, what the
// user wants, and what the consumer rests on.
func (c *Consumer) clientOptions() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ClientID("wasmton"),
		kgo.FetchMaxWait(fetchMaxWait),
		kgo.RebalanceTimeout(rebalanceTimeout(c.cfg.DrainTimeout)),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.WithLogger(clientLogger{c.log}),
	}
	opts = append(opts, c.cfg.ClientOptions...)
	return append(opts,
		kgo.SeedBrokers(c.cfg.Brokers...),
		kgo.ConsumerGroup(c.cfg.Group),
		kgo.ConsumeTopics(), // added when we are ready to join
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords(), // so that commits pass them
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(c.onAssigned),
		kgo.OnPartitionsRevoked(c.onRevoked),
		kgo.OnPartitionsLost(c.onLost),
		kgo.AdjustFetchOffsetsFn(c.onOffsets),
		kgo.WithPools(&recordPool{}),
		kgo.WithHooks(c.waker, c.brokers),
	)
}

// checkClientOptions finds options that can't be set beside ours. kgo refuses
// group callbacks and commit options where no group is named: that is how to see
// them from outside.
func checkClientOptions(brokers []string, opts []kgo.Opt) []error {
	if err := kgo.ValidateOpts(append([]kgo.Opt{kgo.SeedBrokers(brokers...)}, opts...)...); err != nil {
		return []error{fmt.Errorf("ClientOptions: %w", err)}
	}
	return nil
}

// checkClient finds those that only a client shows.
func checkClient(cl *kgo.Client) error {
	var errs []error
	for name, opt := range map[string]any{
		"BlockRebalanceOnPoll":     kgo.BlockRebalanceOnPoll,
		"ConsumeRegex":             kgo.ConsumeRegex,
		"KeepRetryableFetchErrors": kgo.KeepRetryableFetchErrors,
	} {
		if set, _ := cl.OptValue(opt).(bool); set {
			errs = append(errs, fmt.Errorf("ClientOptions: %s can't be set", name))
		}
	}
	// kgo has a type of its own for the slice of pools, and doesn't export it.
	pools := reflect.ValueOf(cl.OptValue(kgo.WithPools))
	for i := range pools.Len() {
		if _, ok := reflect.TypeAssert[kgo.PoolDecompressBytes](pools.Index(i)); ok {
			errs = append(errs, errors.New("ClientOptions: a PoolDecompressBytes can't be set: keys and values must stay valid"))
		}
	}
	if id, _ := cl.OptValue(kgo.TransactionalID).(string); id != "" {
		errs = append(errs, errors.New("ClientOptions: TransactionalID can't be set"))
	}
	return errors.Join(errs...)
}

// waker tells the poll loop that records are about to be there. kgo calls it a
// batch, while it decodes a fetch and shortly before the fetch can be polled.
type waker chan struct{}

func newWaker() waker { return make(waker, 1) }

func (w waker) OnFetchBatchRead(kgo.BrokerMetadata, string, int32, kgo.FetchBatchMetrics) { w.wake() }

func (w waker) OnGroupManageError(error) { w.wake() }

func (w waker) wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// brokerWatch says once that a broker went away and once that it is back. The
// client itself tries again for as long as it takes.
type brokerWatch struct {
	log *slog.Logger

	mu    sync.Mutex // guards away and last
	away  map[string]bool
	last  error // of the last attempt that failed, for ConnectError
	quiet bool  // while Run has not reached a broker: it reports by itself
}

func (b *brokerWatch) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return
	}
	addr := net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port))
	b.mu.Lock()
	was, quiet := b.away[addr], b.quiet
	if err != nil {
		b.remember(err)
		b.away[addr] = true
	} else {
		delete(b.away, addr)
	}
	b.mu.Unlock()
	switch {
	case quiet:
	case err != nil && !was:
		b.log.Warn("a broker can't be reached; trying on", "broker", addr, "error", err)
	case err == nil && was:
		b.log.Info("the broker is back", "broker", addr)
	}
}

// OnBrokerRead remembers what went wrong on a connection that was made: that is
// where a server that is no Kafka broker shows.
func (b *brokerWatch) OnBrokerRead(_ kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	b.mu.Lock()
	b.remember(err)
	b.mu.Unlock()
}

// remember keeps the error. That our own time was over explains nothing, so it
// replaces nothing. The lock is held.
func (b *brokerWatch) remember(err error) {
	if b.last == nil || !errors.Is(err, context.DeadlineExceeded) {
		b.last = err
	}
}

func (b *brokerWatch) lastErr() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

func (b *brokerWatch) speak() {
	b.mu.Lock()
	b.quiet = false
	b.mu.Unlock()
}

// recordPool lends kgo the slices that it decodes batches into. They come back
// when the last record of a batch was recycled.
//
// There is a pool for each power of two: with a single one a batch of one record
// would hold a slice that fits thousands, and a slow partition of such batches
// gigabytes.
type recordPool struct {
	class [maxPoolClass + 1]sync.Pool // of *kgo.Record, the first of 1<<class
}

const maxPoolClass = 15

func (p *recordPool) GetRecords(n int) []kgo.Record {
	class := bits.Len(uint(max(n, 1) - 1))
	if class > maxPoolClass {
		return make([]kgo.Record, 0, n)
	}
	if first, ok := p.class[class].Get().(*kgo.Record); ok {
		return unsafe.Slice(first, 1<<class)[:0]
	}
	return make([]kgo.Record, 0, 1<<class)
}

func (p *recordPool) PutRecords(s []kgo.Record) {
	class := bits.Len(uint(cap(s)) - 1)
	if cap(s) == 0 || class > maxPoolClass || cap(s) != 1<<class {
		return
	}
	// A pointer goes into an interface without an allocation, a slice doesn't.
	p.class[class].Put(unsafe.SliceData(s[:cap(s)]))
}

// clientLogger hands kgo's log on. What it calls warnings and errors are mostly
// steps of recovering by itself: for us they are details, and what a person must
// act on we say ourselves.
type clientLogger struct{ log *slog.Logger }

func (l clientLogger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelNone
}

func (l clientLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	l.log.Debug("kafka client: "+msg, append(keyvals, "client_level", level.String())...)
}
