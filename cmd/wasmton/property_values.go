package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// backoff is the time before try number tries, 1 or more: it doubles from start
// up to most, and is spread by a fifth either way, as in Java's client, so that
// clients which lost one broker don't come back in step. jitter is from 0 to 1.
func backoff(start, most time.Duration, tries int, jitter float64) time.Duration {
	d := start
	for n := 1; n < tries && d < most; n++ {
		d = min(2*d, most) // most is far below half of what a Duration holds
	}
	return time.Duration(float64(d) * (0.8 + 0.4*jitter))
}

func text(limit int, use func(*properties, string)) func(*properties, string) error {
	return func(p *properties, v string) error {
		if v == "" || len(v) > limit {
			return fmt.Errorf("must have 1 to %d bytes", limit)
		}
		use(p, v)
		return nil
	}
}

func number(least, most int64, use func(*properties, int64)) func(*properties, string) error {
	return func(p *properties, v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < least || n > most {
			return fmt.Errorf("must be a whole number from %d to %d", least, most)
		}
		use(p, n)
		return nil
	}
}

func millis(least, most time.Duration, use func(*properties, time.Duration)) func(*properties, string) error {
	inner := number(least.Milliseconds(), most.Milliseconds(), func(p *properties, n int64) { use(p, time.Duration(n)*time.Millisecond) })
	return func(p *properties, v string) error {
		if err := inner(p, v); err != nil {
			return fmt.Errorf("%w; it counts milliseconds", err)
		}
		return nil
	}
}

func boolean(use func(*properties, bool)) func(*properties, string) error {
	return func(p *properties, v string) error {
		switch strings.ToLower(v) {
		case "true":
			use(p, true)
		case "false":
			use(p, false)
		default:
			return errors.New("must be true or false")
		}
		return nil
	}
}

// mustBe takes the one value that describes what we do anyway, so that property
// lists made for other consumers can be used unchanged.
func mustBe(only, reason string) func(*properties, string) error {
	return func(_ *properties, v string) error {
		if !strings.EqualFold(v, only) {
			return errors.New(reason)
		}
		return nil
	}
}

func setClientID(p *properties, v string) error {
	return text(256, func(p *properties, v string) {
		p.clientID = v
		p.add(kgo.ClientID(v))
	})(p, v)
}

func setOffsetReset(p *properties, v string) error {
	switch strings.ToLower(v) {
	case "smallest": // librdkafka's words for the same
		v = "earliest"
	case "largest":
		v = "latest"
	}
	if p.from.Set(v) != nil {
		return errors.New("supported are earliest and latest; --from says the same")
	}
	return nil
}

func setIsolation(p *properties, v string) error {
	switch strings.ToLower(v) {
	case "read_committed":
		p.add(kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	case "read_uncommitted":
		p.add(kgo.FetchIsolationLevel(kgo.ReadUncommitted()))
	default:
		return errors.New("must be read_committed or read_uncommitted")
	}
	return nil
}

// setMetadataAge lowers the client's minimum age too where it must, since the
// client refuses a maximum below its minimum of 5 s.
func setMetadataAge(p *properties, d time.Duration) {
	p.add(kgo.MetadataMaxAge(d))
	if d < 5*time.Second {
		p.add(kgo.MetadataMinAge(d))
	}
}

// balancers are Java's assignors by the last part of their class names and by
// the names that they have on the wire.
var balancers = map[string]func() kgo.GroupBalancer{
	"cooperativestickyassignor": kgo.CooperativeStickyBalancer,
	"cooperative-sticky":        kgo.CooperativeStickyBalancer,
	"stickyassignor":            kgo.StickyBalancer,
	"sticky":                    kgo.StickyBalancer,
	"rangeassignor":             kgo.RangeBalancer,
	"range":                     kgo.RangeBalancer,
	"roundrobinassignor":        kgo.RoundRobinBalancer,
	"roundrobin":                kgo.RoundRobinBalancer,
}

func setBalancers(p *properties, v string) error {
	var chosen []kgo.GroupBalancer
	for name := range strings.SplitSeq(v, ",") {
		short := strings.TrimPrefix(strings.TrimSpace(name), "org.apache.kafka.clients.consumer.")
		balancer, ok := balancers[strings.ToLower(short)]
		if !ok {
			return errors.New("supported are cooperative-sticky, sticky, range, roundrobin and Java's class names for them")
		}
		chosen = append(chosen, balancer())
	}
	p.add(kgo.Balancers(chosen...))
	return nil
}

// Indexes of properties.backoff.
const (
	first = iota
	longest
)

// setBackoff notes a time to wait before another try. Java's client has one
// for connections and one for requests, ours has one for both; so two names may
// say the same, but not different things.
func setBackoff(name string, which int) func(*properties, string) error {
	return func(p *properties, v string) error {
		var clash error
		err := millis(time.Millisecond, maxWireTime, func(p *properties, d time.Duration) {
			if was := p.backoff[which]; was.name != "" && was.d != d {
				clash = fmt.Errorf("contradicts %s: the client waits equally long before it connects and before it asks again", was)
				return
			}
			p.backoff[which] = namedMillis{name, d}
		})(p, v)
		return errors.Join(err, clash)
	}
}
