package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// properties is what the -X flags amount to.
type properties struct {
	client   []kgo.Opt
	clientID string // "" where it was not set
	from     fromValue

	// kept for checks and options that need more than one property
	session, heartbeat time.Duration
	fetchMin, fetchMax int64
	backoff            [2]namedMillis // the first wait, and the longest
}

// namedMillis is a time and the property that set it; "" if none did.
type namedMillis struct {
	name string
	d    time.Duration
}

func (n namedMillis) String() string { return fmt.Sprintf("%s=%d", n.name, n.d.Milliseconds()) }

// property is a Kafka property that -X takes.
type property struct {
	name  string
	about string // for help; the default in parentheses
	// set checks value and notes what it means.
	set func(p *properties, value string) error
}

// supported lists the properties that have a counterpart in our client, by
// their Java names. "wasmton help properties" prints it.
var supported = []property{
	{"allow.auto.create.topics", "only false: topics are made by --create-topic", mustBe("false", "wasmton makes no topic unasked; use --create-topic")},
	{"auto.offset.reset", "the same as --from: earliest or latest", setOffsetReset},
	{"check.crcs", "whether batches are checked for damage (true)", boolean(func(p *properties, check bool) {
		if !check {
			p.add(kgo.DisableFetchCRCValidation())
		}
	})},
	{"client.id", "how brokers know this client (wasmton- and the module's name)", setClientID},
	{"client.rack", "rack of this client, to fetch from replicas that are near", text(512, func(p *properties, v string) { p.add(kgo.Rack(v)) })},
	{"connections.max.idle.ms", "after which an unused connection is closed", millis(100*time.Millisecond, 15*time.Minute, func(p *properties, d time.Duration) { p.add(kgo.ConnIdleTimeout(d)) })},
	{"enable.auto.commit", "only false: what has been processed is committed, always", mustBe("false", "wasmton itself commits, and only what has been processed; --commit-interval says how often")},
	{"fetch.max.bytes", "bytes of an answer to a fetch (50 MiB)", number(1, maxFetchBytes, func(p *properties, n int64) { p.fetchMax = n; p.add(kgo.FetchMaxBytes(int32(n))) })},
	{"fetch.max.wait.ms", "how long a broker waits for fetch.min.bytes (100)", millis(10*time.Millisecond, time.Minute, func(p *properties, d time.Duration) { p.add(kgo.FetchMaxWait(d)) })},
	{"fetch.min.bytes", "bytes that an answer to a fetch should have (1)", number(1, maxFetchBytes, func(p *properties, n int64) { p.fetchMin = n; p.add(kgo.FetchMinBytes(int32(n))) })},
	{"group.instance.id", "fixed name of this member: a restart within the session causes no rebalance", text(249, func(p *properties, v string) { p.add(kgo.InstanceID(v)) })},
	{"group.protocol", "only classic", mustBe("classic", "wasmton doesn't support group.protocol=consumer (KIP-848); supported is classic")},
	{"heartbeat.interval.ms", "between heartbeats to the group (3000)", millis(time.Millisecond, maxWireTime, func(p *properties, d time.Duration) { p.heartbeat = d; p.add(kgo.HeartbeatInterval(d)) })},
	{"isolation.level", "read_uncommitted (the default) or read_committed", setIsolation},
	{"max.partition.fetch.bytes", "bytes of one partition in an answer (1 MiB)", number(1, maxFetchBytes, func(p *properties, n int64) { p.add(kgo.FetchMaxPartitionBytes(int32(n))) })},
	{"metadata.max.age.ms", "after which the cluster is asked about itself again", millis(metadataMinAge, time.Hour, setMetadataAge)},
	{"partition.assignment.strategy", "cooperative-sticky (the default), sticky, range, roundrobin, or Java's class names", setBalancers},
	{"reconnect.backoff.max.ms", "the same as retry.backoff.max.ms", setBackoff("reconnect.backoff.max.ms", longest)},
	{"reconnect.backoff.ms", "the same as retry.backoff.ms", setBackoff("reconnect.backoff.ms", first)},
	{"request.timeout.ms", "how long an answer may take", millis(100*time.Millisecond, 15*time.Minute, func(p *properties, d time.Duration) { p.add(kgo.RequestTimeoutOverhead(d)) })},
	{"retry.backoff.max.ms", "longest wait before another try (1000)", setBackoff("retry.backoff.max.ms", longest)},
	{"retry.backoff.ms", "first wait before another try, doubled each time (100)", setBackoff("retry.backoff.ms", first)},
	{"security.protocol", "only PLAINTEXT", mustBe("PLAINTEXT", noSecurity)},
	{"session.timeout.ms", "silence after which the group gives a member up (45000)", millis(100*time.Millisecond, maxWireTime, func(p *properties, d time.Duration) { p.session = d; p.add(kgo.SessionTimeout(d)) })},
	{"socket.connection.setup.timeout.ms", "how long a connection may take", millis(time.Millisecond, maxWireTime, func(p *properties, d time.Duration) { p.add(kgo.DialTimeout(d)) })},
}

const (
	maxWireTime = math.MaxInt32 * time.Millisecond // Kafka's protocol counts milliseconds in an int32
	// maxFetchBytes is what the client reads of one response at most.
	maxFetchBytes  = 100 << 20
	metadataMinAge = 10 * time.Millisecond

	noSecurity = "wasmton doesn't support TLS and SASL; supported is security.protocol=PLAINTEXT"
	ofJava     = "it belongs to Java's client and has no counterpart here"
	rawBytes   = "a module gets keys and values as the bytes that they are"
)

// refusedProperties are those that Kafka users know but that can't be honoured,
// each with the reason and, where there is one, the way to get what is meant.
// A property that were accepted and ignored would be believed in.
var refusedProperties = map[string]string{
	"auto.commit.interval.ms":                  "wasmton itself commits; use --commit-interval",
	"auto.include.jmx.reporter":                ofJava,
	"bootstrap.servers":                        "name the brokers in the argument BOOTSTRAP",
	"client.dns.lookup":                        "every address of a host is tried, always",
	"config.providers":                         ofJava,
	"default.api.timeout.ms":                   "use --connect-timeout for the first contact and request.timeout.ms for each request",
	"enable.metrics.push":                      "wasmton is asked for its metrics; use --metrics-addr",
	"exclude.internal.topics":                  "wasmton reads the one topic that it is given",
	"group.id":                                 "use --group",
	"group.remote.assignor":                    "it belongs to group.protocol=consumer (KIP-848), which wasmton doesn't support; use partition.assignment.strategy",
	"interceptor.classes":                      ofJava,
	"internal.leave.group.on.close":            "wasmton leaves the group when it stops, unless group.instance.id is set",
	"key.deserializer":                         rawBytes,
	"max.poll.interval.ms":                     "a member stays in the group however long a task takes; --task-timeout bounds a task",
	"max.poll.records":                         "batches follow the speed of the module; --max-pending-records bounds what is fetched ahead",
	"metadata.broker.list":                     "name the brokers in the argument BOOTSTRAP",
	"metadata.recovery.rebootstrap.trigger.ms": ofJava,
	"metadata.recovery.strategy":               ofJava,
	"metric.reporters":                         "use --metrics-addr",
	"metrics.num.samples":                      "use --metrics-addr",
	"metrics.recording.level":                  "use --metrics-addr",
	"metrics.sample.window.ms":                 "use --metrics-addr",
	"rebalance.timeout.ms":                     "it follows --drain-timeout",
	"receive.buffer.bytes":                     "the operating system sizes the buffers of connections",
	"send.buffer.bytes":                        "the operating system sizes the buffers of connections",
	"share.acknowledgement.mode":               "wasmton reads as a consumer group, not as a share group",
	"socket.connection.setup.timeout.max.ms":   "use socket.connection.setup.timeout.ms; the time doesn't grow",
	"value.deserializer":                       rawBytes,
	"enable.ssl.certificate.verification":      noSecurity,
	"security.providers":                       noSecurity,
}

// parseProperties reads key=value pairs. Of two values for a key the later
// counts.
func parseProperties(pairs []string) (p *properties, problems []error) {
	p = &properties{}
	values := map[string]string{}
	var order []string
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" {
			problems = append(problems, fmt.Errorf("-X %q: write key=value", pair))
			continue
		}
		if _, again := values[name]; !again {
			order = append(order, name)
		}
		values[name] = value
	}
	for _, name := range order {
		if err := p.set(name, values[name]); err != nil {
			problems = append(problems, fmt.Errorf("-X %s=%s: %w", name, hideSecret(name, values[name]), err))
		}
	}
	if len(problems) == 0 {
		problems = append(problems, p.checkTogether()...)
	}
	return p, problems
}

// hideSecret keeps passwords out of messages, which end up in logs. It rather
// hides too much: a name may be mistyped.
func hideSecret(name, value string) string {
	for _, sign := range []string{"ssl.", "sasl.", "pass", "secret", "jaas", "token"} {
		if strings.Contains(name, sign) {
			return "…"
		}
	}
	return value
}

func (p *properties) add(o ...kgo.Opt) { p.client = append(p.client, o...) }

func (p *properties) set(name, value string) error {
	for _, s := range supported {
		if s.name == name {
			return s.set(p, value)
		}
	}
	if reason, ok := refusedProperties[name]; ok {
		return errors.New(reason)
	}
	for _, family := range []string{"ssl.", "sasl."} {
		if strings.HasPrefix(name, family) {
			return errors.New(noSecurity)
		}
	}
	if near := nearest(name, knownProperties()); near != "" {
		return fmt.Errorf("no such property; did you mean %s?", near)
	}
	return fmt.Errorf("no such property; supported are %s", strings.Join(supportedNames(), ", "))
}

func supportedNames() []string {
	names := make([]string, len(supported))
	for i, s := range supported {
		names[i] = s.name
	}
	return names
}

// knownProperties are the names to suggest. Refused ones are among them: who
// mistypes group.id shall hear of --group at the next try.
func knownProperties() []string {
	names := supportedNames()
	for name := range refusedProperties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// checkTogether applies the rules between properties, with the client's
// defaults for those that were not given.
func (p *properties) checkTogether() []error {
	var problems []error
	session, heartbeat := p.session, p.heartbeat
	if session == 0 {
		session = 45 * time.Second
	}
	if heartbeat == 0 {
		heartbeat = 3 * time.Second
	}
	if heartbeat >= session {
		problems = append(problems, fmt.Errorf("-X heartbeat.interval.ms=%d must be less than session.timeout.ms=%d, at best a third of it",
			heartbeat.Milliseconds(), session.Milliseconds()))
	}
	fetchMax := p.fetchMax
	if fetchMax == 0 {
		fetchMax = 50 << 20
	}
	if p.fetchMin > fetchMax {
		problems = append(problems, fmt.Errorf("-X fetch.min.bytes=%d must not be more than fetch.max.bytes=%d", p.fetchMin, fetchMax))
	}
	if start, end := p.backoff[first], p.backoff[longest]; start.name != "" || end.name != "" {
		switch {
		case start.name == "":
			start.d = min(100*time.Millisecond, end.d)
		case end.name == "":
			end.d = max(time.Second, start.d)
		case start.d > end.d:
			problems = append(problems, fmt.Errorf("-X %s must not be more than %s", start, end))
		}
		p.add(kgo.RetryBackoffFn(func(tries int) time.Duration { return backoff(start.d, end.d, tries, rand.Float64()) }))
	}
	return problems
}
