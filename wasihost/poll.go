package wasihost

import (
	"encoding/binary"
	"math"
	"time"

	wt "github.com/bytecodealliance/wasmtime-go/v14"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// Errnos of WASI preview 1 that host functions answer with.
const (
	errnoSuccess = 0
	errnoAgain   = 6
	errnoBadf    = 8
	errnoInval   = 28
	errnoIO      = 29
	errnoNotsup  = 58
	errnoPipe    = 64
)

// Layout and values of poll_oneoff's structures in WASI preview 1.
const (
	subscriptionSize = 48
	eventSize        = 32

	subscribeClock   = 0
	subscribeFDRead  = 1
	subscribeFDWrite = 2

	clockRealtime  = 0
	clockMonotonic = 1
	clockAbsolute  = 1 // a flag: the time is a point, not a duration
	fdHangup       = 1 // a flag of events
)

// subscription is one that poll_oneoff is asked to wait for.
type subscription struct {
	userdata uint64
	kind     uint8
	fd       uint32
	clock    uint32
	timeout  uint64 // ns
	absolute bool
}

func readSubscription(b []byte) subscription {
	le := binary.LittleEndian
	return subscription{
		userdata: le.Uint64(b),
		kind:     b[8],
		fd:       le.Uint32(b[16:]),
		clock:    le.Uint32(b[16:]),
		timeout:  le.Uint64(b[24:]),
		absolute: le.Uint16(b[40:])&clockAbsolute != 0,
	}
}

// event is what poll_oneoff tells of a subscription.
type event struct {
	errno uint16
	bytes uint64 // that can be read
	flags uint16
}

func (e event) write(b []byte, s subscription) {
	le := binary.LittleEndian
	clear(b[:eventSize])
	le.PutUint64(b, s.userdata)
	le.PutUint16(b[8:], e.errno)
	b[10] = s.kind
	le.PutUint64(b[16:], e.bytes)
	le.PutUint16(b[24:], e.flags)
}

// forever is longer than anything waits.
const forever = time.Duration(math.MaxInt64)

// clocks are the readings that subscriptions are measured against, in ns.
type clocks struct{ realtime, monotonic uint64 }

// wait is how long it is until the subscription is due: 0 and an event where it is
// due already.
func (s subscription) wait(now clocks, isOpen func(fd uint32) bool) (time.Duration, event) {
	switch s.kind {
	case subscribeFDRead, subscribeFDWrite:
		// Files never block, and neither do the standard streams: input is at its
		// end, output is ours.
		switch {
		case !isOpen(s.fd):
			return 0, event{errno: errnoBadf}
		case s.fd == 0 && s.kind == subscribeFDRead:
			return 0, event{flags: fdHangup}
		}
		return 0, event{}
	case subscribeClock:
		if s.clock != clockRealtime && s.clock != clockMonotonic {
			return 0, event{errno: errnoInval}
		}
		ns := s.timeout
		if s.absolute {
			reading := now.monotonic
			if s.clock == clockRealtime {
				reading = now.realtime
			}
			ns -= min(ns, reading)
		}
		return time.Duration(min(ns, math.MaxInt64)), event{}
	}
	return 0, event{errno: errnoInval}
}

// hostPoll is poll_oneoff, in(subscriptions), events, n, count and the reading of
// the guest's monotonic clock. The shim has seen to it that n is not 0 and that
// everything lies in memory.
func hostPoll(in *Instance, args []wt.Val) (int32, error) {
	// What the guest has said so far should not wait with it.
	if _, err := in.output.read(in.box); err != nil {
		return 0, err
	}
	memory := guestMemory(view(in.context, in.memory))
	n := uint64(uint32(args[2].I32()))
	subs, ok1 := memory.span(uint32(args[0].I32()), n*subscriptionSize)
	events, ok2 := memory.span(uint32(args[1].I32()), n*eventSize)
	if !ok1 || !ok2 {
		return errnoInval, nil
	}
	begun := clocks{realtime: uint64(time.Now().UnixNano()), monotonic: uint64(args[4].I64())}

	var stdin *input // where it is polled, and there is nothing in it yet
	wait := func(s subscription) (time.Duration, event) {
		if flags, _ := in.box.descriptor(s.fd); s.kind != subscribeFDRead || flags&shim.FDStdin == 0 {
			return s.wait(begun, in.box.isOpen)
		}
		if !in.streams.stdin.ready() {
			stdin = &in.streams.stdin
		}
		return in.streams.stdin.state()
	}
	shortest := forever
	for b := subs; len(b) > 0; b = b[subscriptionSize:] {
		d, _ := wait(readSubscription(b))
		shortest = min(shortest, d)
	}
	pause := shortest
	if stdin != nil {
		stdin.ask(maxPiece)
		pause = max(pause, inputMoment)
	}
	if pause > 0 {
		if err := in.wait(pause, stdin); err != nil {
			return 0, err
		}
	}
	if stdin != nil && stdin.ready() {
		shortest = 0 // no time needed to pass
	}
	count := uint32(0)
	for ; len(subs) > 0; subs = subs[subscriptionSize:] {
		s := readSubscription(subs)
		if d, e := wait(s); d <= shortest {
			e.write(events[count*eventSize:], s)
			count++
		}
	}
	memory.setWord(uint32(args[3].I32()), count)
	return errnoSuccess, nil
}

// wait waits for d, or until stdin has its answer; stdin may be nil. It ends early,
// with the error that ends the guest, when the context ends, the engine is
// interrupted, or the task's time is up.
func (in *Instance) wait(d time.Duration, stdin *input) error {
	if err := in.cut(); err != nil {
		return err
	}
	left := time.Duration(in.deadline-in.engine.clock.ticks.Load()) * tick
	timer := time.NewTimer(min(d, left))
	defer timer.Stop()
	var answers chan answer
	if stdin != nil {
		answers = stdin.answers
	}
	select {
	case a := <-answers:
		stdin.got(a)
		return nil
	case <-timer.C:
	case <-in.ctx.Done():
		return ErrInterrupted
	case <-in.engine.interrupt:
		return ErrInterrupted
	}
	if d > left {
		return in.late()
	}
	return nil
}
