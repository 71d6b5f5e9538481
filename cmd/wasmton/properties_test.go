package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// client makes a client of property pairs, as it would be made for a group.
func client(t *testing.T, pairs ...string) (*kgo.Client, *properties) {
	t.Helper()
	p, problems := parseProperties(pairs)
	if len(problems) > 0 {
		t.Fatal(errors.Join(problems...))
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers("127.0.0.1:1"), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t")}, p.client...)...)
	if err != nil {
		t.Fatalf("%q is taken by us and refused by the client: %v", pairs, err)
	}
	t.Cleanup(cl.Close)
	return cl, p
}

// TestEachPropertyReachesTheClient asks the client itself what it was set to.
func TestEachPropertyReachesTheClient(t *testing.T) {
	balancer := func(b kgo.GroupBalancer) any { return b.ProtocolName() }
	cases := map[string]struct {
		value string
		opt   any // the kgo option that it is about
		want  any
	}{
		"check.crcs":                         {"false", kgo.DisableFetchCRCValidation, true},
		"client.id":                          {"me", kgo.ClientID, "me"},
		"client.rack":                        {"r1", kgo.Rack, "r1"},
		"connections.max.idle.ms":            {"60000", kgo.ConnIdleTimeout, time.Minute},
		"fetch.max.bytes":                    {"1000", kgo.FetchMaxBytes, int32(1000)},
		"fetch.max.wait.ms":                  {"50", kgo.FetchMaxWait, 50 * time.Millisecond},
		"fetch.min.bytes":                    {"7", kgo.FetchMinBytes, int32(7)},
		"group.instance.id":                  {"pod-0", kgo.InstanceID, "pod-0"},
		"heartbeat.interval.ms":              {"1000", kgo.HeartbeatInterval, time.Second},
		"isolation.level":                    {"read_committed", kgo.FetchIsolationLevel, int8(1)},
		"max.partition.fetch.bytes":          {"12345", kgo.FetchMaxPartitionBytes, int32(12345)},
		"metadata.max.age.ms":                {"1000", kgo.MetadataMaxAge, time.Second},
		"partition.assignment.strategy":      {"range", kgo.Balancers, balancer(kgo.RangeBalancer())},
		"request.timeout.ms":                 {"2000", kgo.RequestTimeoutOverhead, 2 * time.Second},
		"session.timeout.ms":                 {"30000", kgo.SessionTimeout, 30 * time.Second},
		"socket.connection.setup.timeout.ms": {"500", kgo.DialTimeout, 500 * time.Millisecond},
		"retry.backoff.ms":                   {"40", kgo.RetryBackoffFn, 40 * time.Millisecond},
		"reconnect.backoff.ms":               {"40", kgo.RetryBackoffFn, 40 * time.Millisecond},
		"retry.backoff.max.ms":               {"40", kgo.RetryBackoffFn, 40 * time.Millisecond},
		"reconnect.backoff.max.ms":           {"40", kgo.RetryBackoffFn, 40 * time.Millisecond},
	}
	// These are ours, or say what is so anyway: the client hears nothing of them.
	noOption := []string{"allow.auto.create.topics", "auto.offset.reset", "enable.auto.commit", "group.protocol", "security.protocol"}

	tested := slices.Sorted(maps.Keys(cases))
	tested = append(tested, noOption...)
	slices.Sort(tested)
	if names := supportedNames(); !slices.Equal(names, tested) {
		t.Errorf("supported, in order:\n%q\nand tested:\n%q", names, tested)
	}
	for name, c := range cases {
		cl, _ := client(t, name+"="+c.value)
		got := cl.OptValue(c.opt)
		switch v := got.(type) {
		case []kgo.GroupBalancer:
			got = balancer(v[0])
		case func(int) time.Duration:
			// The jitter is a fifth, so the tenth try shows the longest wait.
			if d := v(10); strings.Contains(name, "max") && (d < 32*time.Millisecond || d > 48*time.Millisecond) {
				t.Errorf("%s: the longest wait is %v", name, d)
			}
			if d := v(1); d < 32*time.Millisecond || d > 48*time.Millisecond {
				t.Errorf("%s: the first wait is %v", name, d)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s=%s: the client has %v (%T), want %v (%T)", name, c.value, got, got, c.want, c.want)
		}
	}
}

func TestPropertiesThatDescribeWhatWeDoAreTaken(t *testing.T) {
	_, p := client(t, "enable.auto.commit=false", "security.protocol=PLAINTEXT", "group.protocol=Classic",
		"allow.auto.create.topics=false", "check.crcs=true", "isolation.level=read_uncommitted", "auto.offset.reset=Earliest")
	if p.from.String() != "earliest" || !p.from.set {
		t.Errorf("auto.offset.reset: %+v", p.from)
	}
}

func TestPropertyValuesAreChecked(t *testing.T) {
	for _, c := range []struct{ pair, part string }{
		{"fetch.min.bytes=many", "whole number from 1 to"},
		{"fetch.max.bytes=0", "whole number from 1 to"},
		{"fetch.max.bytes=2147483648", "whole number from 1 to"},
		{"session.timeout.ms=45s", "milliseconds"},
		{"session.timeout.ms=2147483648", "milliseconds"},
		{"fetch.max.wait.ms=0", "from 10 to"},
		{"metadata.max.age.ms=3600001", "3600000"},
		{"client.id=", "1 to 256 bytes"},
		{"client.id=" + strings.Repeat("x", 257), "1 to 256 bytes"},
		{"isolation.level=serializable", "read_committed or read_uncommitted"},
		{"check.crcs=1", "true or false"},
		{"auto.offset.reset=none", "--from"},
		{"partition.assignment.strategy=magic", "cooperative-sticky, sticky, range, roundrobin"},
		{"partition.assignment.strategy=range,", "cooperative-sticky"},
		{"enable.auto.commit=true", "--commit-interval"},
		{"allow.auto.create.topics=true", "--create-topic"},
		{"group.protocol=consumer", "KIP-848"},
		{"security.protocol=SASL_SSL", "doesn't support TLS and SASL"},
		{"no equals sign", "write key=value"},
		{"=x", "write key=value"},
		{"sesion.timeout.ms=1000", "did you mean session.timeout.ms?"},
		{"group.ids=x", "did you mean group.id?"},
		{"frobnicate=1", "no such property; supported are allow.auto.create.topics, "},
		{"ssl.keystore.location=/k", "doesn't support TLS and SASL"},
		{"sasl.username=me", "doesn't support TLS and SASL"},
		{"bootstrap.servers=x", "BOOTSTRAP"},
		{"group.id=x", "--group"},
		{"max.poll.records=5", "--max-pending-records"},
		{"auto.commit.interval.ms=5", "--commit-interval"},
	} {
		_, problems := parseProperties([]string{c.pair})
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), c.part) {
			t.Errorf("%s: %v, want one problem with %q", c.pair, problems, c.part)
		}
	}
}

func TestPropertiesAreCheckedAgainstEachOther(t *testing.T) {
	for _, c := range []struct {
		pairs []string
		part  string
	}{
		{[]string{"session.timeout.ms=3000"}, "heartbeat.interval.ms=3000 must be less than session.timeout.ms=3000"},
		{[]string{"heartbeat.interval.ms=45000"}, "must be less than session.timeout.ms=45000"},
		{[]string{"fetch.min.bytes=10", "fetch.max.bytes=9"}, "fetch.min.bytes=10 must not be more than fetch.max.bytes=9"},
		{[]string{"retry.backoff.ms=10", "retry.backoff.max.ms=9"}, "retry.backoff.ms=10 must not be more than retry.backoff.max.ms=9"},
		{[]string{"retry.backoff.ms=10", "reconnect.backoff.ms=20"}, "contradicts retry.backoff.ms=10"},
	} {
		_, problems := parseProperties(c.pairs)
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), c.part) {
			t.Errorf("%q: %v, want one problem with %q", c.pairs, problems, c.part)
		}
	}
	client(t, "session.timeout.ms=3000", "heartbeat.interval.ms=1000", "retry.backoff.ms=5", "reconnect.backoff.ms=5")
}

func TestAllProblemsAreToldAndTheLaterValueCounts(t *testing.T) {
	if _, problems := parseProperties([]string{"a=1", "client.id=", "nonsense"}); len(problems) != 3 {
		t.Errorf("want 3 problems: %v", problems)
	}
	cl, p := client(t, "client.id=first", " client.id = second ")
	if got := cl.OptValue(kgo.ClientID); got != "second" || p.clientID != "second" {
		t.Errorf("the client has %v, we have %q", got, p.clientID)
	}
}

func TestRefusedPropertiesGiveAReason(t *testing.T) {
	for name, reason := range refusedProperties {
		if reason == "" || slices.Contains(supportedNames(), name) {
			t.Errorf("%s: %q", name, reason)
		}
		_, problems := parseProperties([]string{name + "=1"})
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), reason) {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestSecretsStayOutOfMessages(t *testing.T) {
	for _, name := range []string{
		"sasl.password", "ssl.keystore.password", "ssl.key.password", "sasl.jaas.config", "ssl.keystore.key",
		"sasl.oauthbearer.client.secret", "sasl.pasword", "sals.password",
	} {
		_, problems := parseProperties([]string{name + "=hunter2"})
		if text := fmt.Sprint(problems); len(problems) != 1 || strings.Contains(text, "hunter2") {
			t.Error(text)
		}
	}
	if _, problems := parseProperties([]string{"fetch.min.bytes=abc"}); !strings.Contains(fmt.Sprint(problems), "abc") {
		t.Errorf("a plain value is hidden: %v", problems)
	}
}

func TestBalancersByAllTheirNames(t *testing.T) {
	cl, _ := client(t, "partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor, StickyAssignor,roundrobin,org.apache.kafka.clients.consumer.RangeAssignor")
	var names []string
	for _, b := range cl.OptValue(kgo.Balancers).([]kgo.GroupBalancer) {
		names = append(names, b.ProtocolName())
	}
	if want := []string{"cooperative-sticky", "sticky", "roundrobin", "range"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestBackoffDoublesUpToItsMost(t *testing.T) {
	for tries, want := range map[int]time.Duration{0: 100, 1: 100, 2: 200, 3: 400, 4: 800, 5: 1000, 6: 1000, 1 << 40: 1000} {
		if got := backoff(100*time.Millisecond, time.Second, tries, 0.5); got != want*time.Millisecond {
			t.Errorf("try %d: %v, want %v ms", tries, got, int(want))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		start := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(maxWireTime)).Draw(t, "start"))
		most := time.Duration(rapid.Int64Range(int64(start), int64(maxWireTime)).Draw(t, "most"))
		got := backoff(start, most, rapid.IntRange(0, 100).Draw(t, "tries"), rapid.Float64Range(0, 1).Draw(t, "jitter"))
		if low, high := float64(start)*0.79, float64(most)*1.21; float64(got) < low || float64(got) > high {
			t.Fatalf("%v is not within a fifth of %v to %v", got, start, most)
		}
	})
}
