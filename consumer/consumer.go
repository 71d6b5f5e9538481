package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/wasmton/wasmton/consumer/internal/pace"
)

// Consumer is one member of a consumer group. It owns and wires; each step of a
// record's way is in a file of its own.
//
// Goroutines, and who joins them:
//   - the poll loop is Run's own goroutine;
//   - committer, tails and watchOthers: Run, by background and commits.stop;
//   - a lane for each that ever got a record: Run, by lanes, except for those that a
//     *DrainError names;
//   - the client's, in which the rebalance callbacks run: Run, by closing the client.
//
// Locks, in the order in which they may be taken:
//  1. fence: see poll.go;
//  2. a partition's mu: its watermark, queues and counts;
//  3. countsMu, failMu, ending.mu, brokerWatch.mu: one map or field each, nothing is
//     called under them.
type Consumer struct {
	cfg     Config
	log     *slog.Logger
	ran     atomic.Bool
	waker   waker
	brokers *brokerWatch

	// Set by Run before anything else starts.
	cl            *kgo.Client
	adm           *kadm.Client
	topicID       [16]byte
	readCommitted bool
	asking        sync.WaitGroup // requests of connect
	askTLS        sync.Once
	speakTLS      bool // a broker does, and we don't; see wantsTLS
	revokeTimeout time.Duration
	goals         map[int32]int64 // of UntilEnd
	commits       *committer
	tails         *tails
	end           *ending
	stop          context.CancelFunc // ends admission
	abort         context.CancelFunc // ends what the client waits for

	fence    fence // guards all below, up to the blank line
	parts    map[int32]*partition
	leaving  map[*partition]struct{} // detached, and not committed for the last time
	undone   []*partition            // all of them, as long as a lane may run
	broken   map[int32]brokenSpan    // partitions that give errors only
	stopping bool
	outside  bool // the group session ended, and no new one began

	batchMax int // of a lane

	polled func(records int) // nil but in tests: called between a poll and its admission

	// paused belongs to the poll loop. Partitions that were replaced drop out by
	// themselves.
	paused []*partition

	live          atomic.Pointer[held]
	lanes         sync.WaitGroup
	firstAssigned sync.Once
	assigned      chan struct{} // closed at the first assignment

	began, ended atomic.Pointer[time.Time]
	failMu       sync.Mutex // guards failure
	failure      error      // what Run returns, with what the shutdown adds

	countsMu sync.Mutex // guards counted
	counted  map[int32]*counts

	commitsDone, commitsFailed, rebalances atomic.Int64
	commitTook                             histogram
}

// New checks cfg and makes the consumer; it contacts nobody. The error lists every
// contradiction in cfg.
func New(cfg Config) (*Consumer, error) {
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	c := &Consumer{
		cfg:      cfg,
		log:      cfg.Logger,
		waker:    newWaker(),
		brokers:  &brokerWatch{log: cfg.Logger, away: make(map[string]bool), quiet: true},
		parts:    make(map[int32]*partition),
		leaving:  make(map[*partition]struct{}),
		broken:   make(map[int32]brokenSpan),
		fence:    newFence(),
		assigned: make(chan struct{}),
		counted:  make(map[int32]*counts),
	}
	c.batchMax = max(minBatchMax, pace.Max/cfg.Concurrency)
	if cfg.Observe != nil {
		c.batchMax = 1
	}
	c.live.Store(&held{})
	return c, nil
}

// Run joins the group and processes records until ctx ends, a failure stops it,
// or the end is reached (UntilEnd). When ctx ends it stops fetching, lets what
// runs finish within DrainTimeout, commits, leaves the group, and returns nil.
//
// Errors: *ConnectError, *TopicError and *GroupError (at the start, or when a
// permission or the topic goes away), *FetchError, *FactoryError, *RecordError,
// *CommitError (the last commit failed), *DrainError (still running at the
// deadline), and others of the client. errors.As finds each of them: where several
// things went wrong they are joined.
//
// Run can be called once.
func (c *Consumer) Run(ctx context.Context) error {
	if c.ran.Swap(true) {
		return errors.New("consumer: Run can be called once only")
	}
	began := time.Now()
	c.began.Store(&began)
	defer func() {
		ended := time.Now()
		c.ended.Store(&ended)
	}()
	unregister, err := c.register()
	if err != nil {
		return fmt.Errorf("consumer: metrics: %w", err)
	}
	defer unregister()

	clientCtx, abort := context.WithCancel(context.Background())
	defer abort()
	c.abort = abort
	if c.cl, err = kgo.NewClient(append(c.clientOptions(), kgo.WithContext(clientCtx))...); err != nil {
		return fmt.Errorf("consumer: ClientOptions: %w", err)
	}
	defer func() {
		c.cl.Close()
		c.asking.Wait()
	}()
	if err := checkClient(c.cl); err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	c.adm = kadm.NewClient(c.cl)
	if level, ok := c.cl.OptValue(kgo.FetchIsolationLevel).(int8); ok {
		c.readCommitted = level == 1
	}
	c.revokeTimeout = c.cfg.DrainTimeout
	if rebalance, ok := c.cl.OptValue(kgo.RebalanceTimeout).(time.Duration); ok {
		c.revokeTimeout = min(c.revokeTimeout, rebalance/2)
	}

	topic, err := c.connect(ctx)
	if err == nil {
		c.topicID = topic.id
		err = c.start(ctx, topic)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before it began
		}
		return err
	}
	return c.consume(ctx)
}

// consume is Run from the moment the group is joined.
func (c *Consumer) consume(ctx context.Context) error {
	c.end = newEnding(c.goals)
	if c.cfg.UntilEnd && c.end.left() == 0 {
		return nil
	}
	c.commits, c.tails = newCommitter(c), newTails(c)
	ctx, c.stop = context.WithCancel(ctx)
	defer c.stop()

	go c.commits.run()
	var background sync.WaitGroup
	background.Go(func() { c.tails.run(ctx) })
	background.Go(func() { c.meetOthers(ctx) })
	if c.cfg.UntilEnd {
		background.Go(func() { c.watchOthers(ctx) })
		background.Go(func() {
			select {
			case <-c.end.reached:
				c.stop()
			case <-ctx.Done():
			}
		})
	}
	c.cl.AddConsumeTopics(c.cfg.Topic) // joins

	c.poll(ctx)
	background.Wait()
	err := c.shutdown()
	c.failMu.Lock()
	defer c.failMu.Unlock()
	return errors.Join(c.failure, err)
}

// fail ends Run with err, after a drain like that of any stop. The first one is
// what Run returns; others are logged, since they are news to somebody.
func (c *Consumer) fail(err error) {
	c.failMu.Lock()
	first := c.failure == nil
	if first {
		c.failure = err
	}
	c.failMu.Unlock()
	if !first {
		c.log.Error("another failure while stopping", "error", err)
	}
	c.stop()
}

// shutdown lets what runs finish, commits, and leaves the group. Admission has
// ended.
func (c *Consumer) shutdown() error {
	started := time.Now()
	c.fence.Lock()
	c.stopping = true
	ids := slices.Collect(maps.Keys(c.parts))
	c.fence.Unlock()
	c.detachAll(ids)

	// A revoke may be draining partitions of its own at this moment: they are drained
	// here as well, and it comes to its end with us. And a lane may run of a partition
	// that went long ago: it did not return when its work was cut.
	c.fence.Lock()
	parts := slices.Collect(maps.Keys(c.leaving))
	undone := slices.Clone(c.undone)
	c.fence.Unlock()
	drainAll(undone, c.cfg.DrainTimeout, ErrStopping)
	var errs []error
	if err := c.lastCommit(parts); err != nil {
		errs = append(errs, &CommitError{Group: c.cfg.Group, Err: err})
	}
	c.forget(parts)
	c.leave()
	c.commits.stop()

	var running []Running
	for _, p := range undone {
		running = append(running, p.stillRunning()...)
	}
	if len(running) > 0 {
		errs = append(errs, &DrainError{Waited: time.Since(started), Running: running})
	} else {
		c.lanes.Wait()
	}
	return errors.Join(errs...)
}

const (
	leaveTimeout = 3 * time.Second
	lastPause    = 100 * time.Millisecond
)

// leave leaves the group and closes the client. Leaving calls onRevoked with what
// kgo thinks is still ours: nothing of that is.
//
// While the group rebalances the client waits for the slowest of the other members
// before it leaves, up to the rebalance timeout. A stop can't wait for that: then
// the member is taken out of the group from outside.
func (c *Consumer) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	err := c.cl.LeaveGroupContext(ctx)
	if err != nil && ctx.Err() != nil {
		member, _ := c.cl.GroupMetadata()
		c.abort()
		c.cl.Close()
		err = c.leaveFor(member)
	}
	c.cl.Close()
	if err != nil {
		c.log.Warn("the group was not told that this member leaves; it will notice after the session timeout", "error", err)
	}
}

// leaveFor takes a member out of the group by another client. A member with an
// instance id stays: its successor takes its place.
func (c *Consumer) leaveFor(member string) error {
	if id, _ := c.cl.OptValue(kgo.InstanceID).(string); id != "" || member == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	opts := []kgo.Opt{kgo.SeedBrokers(c.cfg.Brokers...)}
	// Not all of the user's options: hooks, for one, may not like a second client.
	if dial, ok := c.cl.OptValue(kgo.Dialer).(dialer); ok && dial != nil {
		opts = append(opts, kgo.Dialer(dial)) // with TLS, if there is
	}
	if mechanisms, ok := c.cl.OptValue(kgo.SASL).([]sasl.Mechanism); ok {
		opts = append(opts, kgo.SASL(mechanisms...))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = c.cfg.Group
	req.MemberID = member // brokers before 2.4
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = member
	req.Members = append(req.Members, m)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// lastCommit commits for the last time. While the group rebalances the coordinator
// refuses at times, so it is tried until commitTimeout. If this member is out of the
// group there is no use in trying: the partitions are others'.
func (c *Consumer) lastCommit(parts []*partition) error {
	deadline := time.Now().Add(commitTimeout)
	for {
		late := time.Now().After(deadline)
		err := c.commits.now(parts, late)
		if err == nil && slices.ContainsFunc(parts, (*partition).wasLost) {
			err = ErrLost
		}
		if late || !isAny(err, kerr.RebalanceInProgress, kerr.IllegalGeneration) {
			return err
		}
		time.Sleep(lastPause)
	}
}

// meetOthers tells the caller of other members once, when the group has formed.
func (c *Consumer) meetOthers(ctx context.Context) {
	if c.cfg.OtherMembers == nil {
		return
	}
	select {
	case <-c.assigned:
	case <-ctx.Done():
		return
	}
	if others := c.otherMembers(ctx); len(others) > 0 {
		c.cfg.OtherMembers(others)
	}
}

// owned returns the partitions that are ours now.
func (c *Consumer) owned() []*partition { return c.live.Load().owned }
