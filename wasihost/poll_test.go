package wasihost

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Addresses that the tests below use.
const (
	pollIn     = 0x1000
	pollEvents = 0x4000
	pollCount  = 0x6000
)

// bytes is the subscription in the guest's form.
func (s subscription) bytes() []byte {
	b := make([]byte, subscriptionSize)
	le := binary.LittleEndian
	le.PutUint64(b, s.userdata)
	b[8] = s.kind
	if s.kind == subscribeClock {
		le.PutUint32(b[16:], s.clock)
		le.PutUint64(b[24:], s.timeout)
		if s.absolute {
			b[40] = clockAbsolute
		}
	} else {
		le.PutUint32(b[16:], s.fd)
	}
	return b
}

// poll calls poll_oneoff, and returns the errno and the events as text.
func (p *puppet) poll(subs ...subscription) (int32, string) {
	p.t.Helper()
	for i, s := range subs {
		copy(p.memory()[pollIn+i*subscriptionSize:], s.bytes())
	}
	errno := p.call("poll_oneoff", pollIn, pollEvents, len(subs), pollCount)
	if errno != 0 {
		return errno, ""
	}
	var events []string
	for i := range int(p.word(pollCount)) {
		e := p.memory()[pollEvents+i*eventSize:]
		le := binary.LittleEndian
		events = append(events, fmt.Sprintf("%d:%d errno %d bytes %d flags %d",
			le.Uint64(e), e[10], le.Uint16(e[8:]), le.Uint64(e[16:]), le.Uint16(e[24:])))
	}
	return 0, strings.Join(events, ", ")
}

func clockSub(id uint64, clock uint32, timeout uint64, absolute bool) subscription {
	return subscription{userdata: id, kind: subscribeClock, clock: clock, timeout: timeout, absolute: absolute}
}

func TestPoll(t *testing.T) {
	const hour = uint64(time.Hour)
	longAgo, farOff := uint64(time.Now().Add(-time.Hour).UnixNano()), uint64(time.Now().Add(time.Hour).UnixNano())
	for _, c := range []struct {
		name   string
		subs   []subscription
		errno  int32
		events string
	}{
		{"a time that has come", []subscription{clockSub(7, clockMonotonic, 0, false)}, 0, "7:0 errno 0 bytes 0 flags 0"},
		{"a short time", []subscription{clockSub(7, clockRealtime, 1000, false)}, 0, "7:0 errno 0 bytes 0 flags 0"},
		{"a point in the past", []subscription{clockSub(7, clockRealtime, longAgo, true)}, 0, "7:0 errno 0 bytes 0 flags 0"},
		{"the guest's own start", []subscription{clockSub(7, clockMonotonic, 1, true)}, 0, "7:0 errno 0 bytes 0 flags 0"},
		{"the first of two times", []subscription{clockSub(1, clockMonotonic, hour, false), clockSub(2, clockMonotonic, 1000, false)}, 0, "2:0 errno 0 bytes 0 flags 0"},
		{"two at once", []subscription{clockSub(1, clockMonotonic, 0, false), clockSub(2, clockRealtime, 0, false)}, 0,
			"1:0 errno 0 bytes 0 flags 0, 2:0 errno 0 bytes 0 flags 0"},
		{"a file beside a time", []subscription{clockSub(1, clockRealtime, farOff, true), {userdata: 2, kind: subscribeFDRead, fd: 3}}, 0,
			"2:1 errno 0 bytes 0 flags 0"},
		{"standard input, which is at its end", []subscription{{userdata: 1, kind: subscribeFDRead, fd: 0}}, 0, "1:1 errno 0 bytes 0 flags 1"},
		{"standard output and error", []subscription{{userdata: 1, kind: subscribeFDWrite, fd: 1}, {userdata: 2, kind: subscribeFDWrite, fd: 2}}, 0,
			"1:2 errno 0 bytes 0 flags 0, 2:2 errno 0 bytes 0 flags 0"},
		{"a descriptor that is not open", []subscription{{userdata: 1, kind: subscribeFDRead, fd: 99}, clockSub(2, clockMonotonic, hour, false)}, 0,
			"1:1 errno 8 bytes 0 flags 0"},
		{"the descriptor -1", []subscription{{userdata: 1, kind: subscribeFDWrite, fd: math.MaxUint32}}, 0, "1:2 errno 8 bytes 0 flags 0"},
		{"a clock of the processor's", []subscription{clockSub(1, 2, 0, false)}, 0, "1:0 errno 28 bytes 0 flags 0"},
		{"something else", []subscription{{userdata: 1, kind: 3}}, 0, "1:3 errno 28 bytes 0 flags 0"},
		{"nothing", nil, errInval, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPuppet(t, &Config{Dirs: []Dir{{Host: t.TempDir(), Guest: "/"}}})
			if errno, events := p.poll(c.subs...); errno != c.errno || events != c.events {
				t.Errorf("errno %d, events %s\nwant %d, %s", errno, events, c.errno, c.events)
			}
		})
	}
	t.Run("closed streams", func(t *testing.T) {
		p := newPuppet(t, nil)
		p.want(0, "fd_close", 0)
		p.want(0, "fd_close", 1)
		_, events := p.poll(subscription{kind: subscribeFDRead, fd: 0}, subscription{kind: subscribeFDWrite, fd: 1})
		if events != "0:1 errno 8 bytes 0 flags 0, 0:2 errno 8 bytes 0 flags 0" {
			t.Error(events)
		}
	})
	t.Run("an absolute time on the guest's monotonic clock", func(t *testing.T) {
		p := newPuppet(t, nil)
		read := func() uint64 {
			p.want(0, "clock_time_get", clockMonotonic, 0, 0x1000)
			return p.long(0x1000)
		}
		until := read() + uint64(20*time.Millisecond)
		p.poll(clockSub(1, clockMonotonic, until, true))
		if now := read(); now < until {
			t.Errorf("it returned %v early", time.Duration(until-now))
		}
	})
	t.Run("events in the place of their subscriptions", func(t *testing.T) {
		p := newPuppet(t, nil)
		for i := range 3 {
			copy(p.memory()[pollIn+i*subscriptionSize:], clockSub(uint64(70+i), clockMonotonic, 0, false).bytes())
		}
		p.want(0, "poll_oneoff", pollIn, pollIn, 3, pollCount)
		for i := range 3 {
			if got := p.long(pollIn + i*eventSize); got != uint64(70+i) {
				t.Errorf("event %d is that of %d", i, got)
			}
		}
	})
	t.Run("memory around the events stays as it is", func(t *testing.T) {
		p := newPuppet(t, nil)
		for i := pollEvents - 8; i < pollEvents+200; i++ {
			p.memory()[i] = 0xee
		}
		p.poll(clockSub(1, clockMonotonic, uint64(time.Hour), false), clockSub(2, clockMonotonic, 0, false))
		around := string(p.memory()[pollEvents-8:pollEvents]) + string(p.memory()[pollEvents+eventSize:pollEvents+200])
		if strings.Count(around, "\xee") != len(around) || p.long(pollEvents) != 2 {
			t.Errorf("%q", around)
		}
	})
}

func TestPollOutsideOfMemoryTraps(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []any
		errno  int32
		reason string
	}{
		{"subscriptions behind memory", []any{puppetEnd - 40, pollEvents, 1, pollCount}, 0, "poll_oneoff was given address 0x1ffd8 for 48 bytes"},
		{"events behind memory", []any{pollIn, puppetEnd - 24, 1, pollCount}, 0, "poll_oneoff was given address 0x1ffe8 for 32 bytes"},
		{"a count behind memory", []any{pollIn, pollEvents, 1, puppetEnd - 2}, 0, "poll_oneoff was given address 0x1fffe for 4 bytes"},
		{"as many subscriptions as there can be", []any{pollIn, pollEvents, uint32(math.MaxUint32), pollCount}, 0,
			"poll_oneoff was given address 0x1000 for 206158430160 bytes"},
		{"subscriptions that are not aligned", []any{pollIn + 4, pollEvents, 1, pollCount}, errInval, ""},
		{"events that are not aligned", []any{pollIn, pollEvents + 1, 1, pollCount}, errInval, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPuppet(t, nil)
			errno, err := p.try("poll_oneoff", c.args...)
			var trap *TrapError
			switch {
			case c.reason == "" && (err != nil || errno != c.errno):
				t.Errorf("errno %d, %v", errno, err)
			case c.reason != "" && (!errors.As(err, &trap) || !strings.HasPrefix(trap.Reason, c.reason)):
				t.Errorf("%v; want %s", err, c.reason)
			}
		})
	}
}

func TestASleepingGuestIsWoken(t *testing.T) {
	forever := [][]byte{puppetCall(t, "poll_oneoff", pollIn, pollEvents, 1, pollCount)}
	sleeper := func(t *testing.T, e *Engine, cfg *Config) *puppet {
		p := &puppet{t, start(t, compile(t, e, puppetText), cfg)}
		copy(p.memory()[pollIn:], clockSub(1, clockMonotonic, math.MaxUint64, false).bytes())
		return p
	}
	t.Run("when its context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		p := sleeper(t, testEngine, &Config{TaskTimeout: time.Hour})
		go cancel()
		if n, err := p.Drive(ctx, forever); n != 0 || err != ErrInterrupted {
			t.Errorf("Drive = %d, %v", n, err)
		}
	})
	t.Run("when the engine is interrupted", func(t *testing.T) {
		e, err := NewEngine()
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		p := sleeper(t, e, &Config{TaskTimeout: time.Hour})
		go e.Interrupt()
		if n, err := p.Drive(context.Background(), forever); n != 0 || err != ErrInterrupted {
			t.Errorf("Drive = %d, %v", n, err)
		}
	})
	t.Run("when its time is up", func(t *testing.T) {
		p := sleeper(t, testEngine, &Config{TaskTimeout: tick})
		var late *TimeoutError
		if n, err := p.Drive(context.Background(), forever); n != 0 || !errors.As(err, &late) || len(late.Backtrace) == 0 {
			t.Errorf("Drive = %d, %v", n, err)
		}
	})
	t.Run("after its output came out", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		var in *Instance
		in = guest(t, timedGuest, &Config{TaskTimeout: time.Hour, Output: func(_ int, _ Stream, line []byte) {
			if !in.running.Load() {
				t.Errorf("%q came after the sleep", line)
			}
			// The wait that follows is for ever.
			binary.LittleEndian.PutUint64(view(in.context, in.memory)[64+24:], math.MaxUint64)
			cancel()
		}})
		if _, err := in.Drive(ctx, [][]byte{[]byte("x")}); err != ErrInterrupted {
			t.Error(err)
		}
	})
}

// TestWaits checks the rule by itself: never early, and due when it says 0.
func TestWaits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 1000), rapid.SampledFrom([]uint64{math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64}))
		now := clocks{realtime: word.Draw(t, "realtime"), monotonic: word.Draw(t, "monotonic")}
		s := clockSub(1, rapid.Uint32Range(0, 1).Draw(t, "clock"), word.Draw(t, "timeout"), rapid.Bool().Draw(t, "absolute"))
		d, e := s.wait(now, func(uint32) bool { return false })
		if d < 0 || e != (event{}) {
			t.Fatalf("wait %d, event %v", d, e)
		}
		reading := uint64(0)
		if s.absolute {
			reading = now.monotonic
			if s.clock == clockRealtime {
				reading = now.realtime
			}
		}
		switch {
		case s.timeout <= reading && d != 0:
			t.Fatalf("wait %d for a time that has come", d)
		case s.timeout > reading && d != math.MaxInt64 && uint64(d) != s.timeout-reading:
			t.Fatalf("wait %d, want %d", d, s.timeout-reading)
		}
	})
}
