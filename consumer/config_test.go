package consumer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/processor"
)

func valid() Config {
	return Config{
		Brokers: []string{"localhost:9092"}, Topic: "tasks", Group: "workers",
		Factory: processor.Func(func(context.Context, *processor.Record) error { return nil }),
	}
}

func TestDefaults(t *testing.T) {
	c := valid()
	c.EnsureDefaults()
	if c.Concurrency != 1 || c.DrainTimeout != 20*time.Second || c.CommitInterval != time.Second ||
		c.MaxPendingRecords != 100_000 || c.MaxPendingBytes != 64<<20 || c.ConnectTimeout != 15*time.Second || c.Logger == nil {
		t.Errorf("%+v", c)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no brokers":        {func(c *Config) { c.Brokers = nil }, "Brokers is empty: name at least one host:port"},
		"no port":           {func(c *Config) { c.Brokers = []string{"a:1", "b"} }, `Brokers has "b", which is not host:port`},
		"no host":           {func(c *Config) { c.Brokers = []string{":1"} }, `Brokers has ":1", which is not host:port`},
		"no topic":          {func(c *Config) { c.Topic = "" }, "Topic is empty"},
		"a dot":             {func(c *Config) { c.Topic = "." }, `Topic is ".", which Kafka does not allow`},
		"an odd topic":      {func(c *Config) { c.Topic = "a b" }, `Topic is "a b": Kafka allows letters, digits, '.', '_' and '-' only`},
		"a long topic":      {func(c *Config) { c.Topic = strings.Repeat("x", 250) }, "Topic has 250 characters, and Kafka allows 249"},
		"no group":          {func(c *Config) { c.Group = "" }, "Group is empty"},
		"no factory":        {func(c *Config) { c.Factory = nil }, "Factory is nil: who processes the records?"},
		"no lanes":          {func(c *Config) { c.Concurrency = -1 }, "Concurrency is -1, not 1 to 10000"},
		"too many lanes":    {func(c *Config) { c.Concurrency = 10_001 }, "Concurrency is 10001, not 1 to 10000"},
		"from nowhere":      {func(c *Config) { c.From = 7 }, "From is From(7), not Earliest or Latest"},
		"an odd policy":     {func(c *Config) { c.OnFailure = 7 }, "OnFailure is OnFailure(7), not Stop or Skip"},
		"drain before":      {func(c *Config) { c.DrainTimeout = -1 }, "DrainTimeout is -1ns, not 0 to 1h0m0s"},
		"drain for ever":    {func(c *Config) { c.DrainTimeout = 2 * time.Hour }, "DrainTimeout is 2h0m0s, not 0 to 1h0m0s"},
		"commits all day":   {func(c *Config) { c.CommitInterval = 1 }, "CommitInterval is 1ns, less than 10ms"},
		"nothing pending":   {func(c *Config) { c.MaxPendingRecords = -1 }, "MaxPendingRecords is -1, less than 1"},
		"no bytes pending":  {func(c *Config) { c.MaxPendingBytes = -1 }, "MaxPendingBytes is -1, less than 1"},
		"connect before":    {func(c *Config) { c.ConnectTimeout = -1 }, "ConnectTimeout is -1ns, less than 0"},
		"commits of theirs": {func(c *Config) { c.ClientOptions = []kgo.Opt{kgo.AutoCommitMarks()} }, "ClientOptions: invalid autocommit options specified when a group was not specified"},
		"callbacks of theirs": {func(c *Config) {
			c.ClientOptions = []kgo.Opt{kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) {})}
		}, "ClientOptions: invalid group partition assigned/revoked/lost functions set when a group was not specified"},
		"an option that is wrong": {func(c *Config) { c.ClientOptions = []kgo.Opt{kgo.FetchMaxWait(time.Nanosecond)} },
			"ClientOptions: max fetch wait 0s is less than allowed 10ms"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := valid()
			c.change(&cfg)
			_, err := New(cfg)
			if err == nil || err.Error() != "consumer: "+c.want {
				t.Errorf("New returned %v, want %s", err, c.want)
			}
		})
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	_, err := New(Config{Concurrency: -1})
	for _, want := range []string{"Brokers", "Topic", "Group", "Factory", "Concurrency"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing of %s: %v", want, err)
		}
	}
}

// Options that only a client shows are refused by Run, before a broker is asked.
func TestClientOptionsThatRunRefuses(t *testing.T) {
	for name, opt := range map[string]kgo.Opt{
		"BlockRebalanceOnPoll":     kgo.BlockRebalanceOnPoll(),
		"ConsumeRegex":             kgo.ConsumeRegex(),
		"KeepRetryableFetchErrors": kgo.KeepRetryableFetchErrors(),
		"PoolDecompressBytes":      kgo.WithPools(bytesPool{}),
		"TransactionalID":          kgo.TransactionalID("x"),
		"ShareGroup":               kgo.ShareGroup("x"),
		"ConsumePartitions":        kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"x": {0: kgo.NewOffset()}}),
	} {
		t.Run(name, func(t *testing.T) {
			cfg := valid()
			cfg.ClientOptions = []kgo.Opt{opt}
			c, err := New(cfg)
			if err != nil {
				return // refused earlier is as well
			}
			if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "ClientOptions") {
				t.Errorf("Run returned %v", err)
			}
		})
	}
}

type bytesPool struct{}

func (bytesPool) GetDecompressBytes([]byte, kgo.CompressionCodecType) []byte { return nil }
func (bytesPool) PutDecompressBytes([]byte)                                  {}

// What the consumer rests on is its own, whatever the options say.
func TestClientOptionsThatHaveNoEffect(t *testing.T) {
	cfg := valid()
	cfg.ClientOptions = []kgo.Opt{
		kgo.ConsumerGroup("theirs"), kgo.ConsumeTopics("theirs"), kgo.SeedBrokers("theirs:1"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(c.clientOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if g := cl.OptValue(kgo.ConsumerGroup); g != "workers" {
		t.Errorf("the group is %v", g)
	}
	if topics, _ := cl.OptValue(kgo.ConsumeTopics).([]string); len(topics) != 0 {
		t.Errorf("the topics are %v", topics)
	}
	if seeds, _ := cl.OptValue(kgo.SeedBrokers).([]string); len(seeds) != 1 || seeds[0] != "localhost:9092" {
		t.Errorf("the brokers are %v", seeds)
	}
	if o, _ := cl.OptValue(kgo.ConsumeResetOffset).(kgo.Offset); o != kgo.NewOffset().AtStart() {
		t.Errorf("offsets out of range begin at %v", o)
	}
}

// A group must be able to wait for as long as a member may drain, and then some.
func TestRebalanceTimeout(t *testing.T) {
	for drain, want := range map[time.Duration]time.Duration{
		time.Second:      time.Minute,
		20 * time.Second: time.Minute,
		time.Minute:      140 * time.Second,
		time.Hour:        2*time.Hour + 20*time.Second,
	} {
		if got := rebalanceTimeout(drain); got != want || got/2 < drain {
			t.Errorf("for %v: %v, want %v", drain, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		Earliest.String(): "earliest", Latest.String(): "latest", Stop.String(): "stop", Skip.String(): "skip",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
