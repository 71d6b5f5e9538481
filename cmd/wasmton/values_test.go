package main

import (
	"testing"
	"time"

	"github.com/spf13/pflag"
	"pgregory.net/rapid"
)

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "64000": 64000, "10B": 10, "10b": 10,
		"256MiB": 256 << 20, "256mib": 256 << 20, "256Mi": 256 << 20, " 256 MiB ": 256 << 20,
		"4GiB": 4 << 30, "1.5GiB": 3 << 29, "0.5KiB": 512,
		"1kB": 1000, "2MB": 2e6, "3gb": 3e9,
	} {
		var b byteSize
		if err := b.Set(text); err != nil || int64(b) != want {
			t.Errorf("%q: %d, %v, want %d", text, b, err, want)
		}
	}
	for _, text := range []string{
		"", "MiB", "-1", "+1", "1M", "1g", "12x", "1e3", "0x10", "1_000", "inf", "NaN",
		"0.3KiB", "1.0000000001MiB", "1..5KiB", "1 2", "9007199254740992", "99999999999GiB",
	} {
		b := byteSize(7)
		if err := b.Set(text); err == nil {
			t.Errorf("%q is taken as %d", text, b)
		} else if b != 7 {
			t.Errorf("%q is refused and changes the value to %d", text, b)
		}
	}
}

func TestByteSizeReadsBackWhatItPrints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<53-1).Draw(t, "n") >> rapid.IntRange(0, 52).Draw(t, "shift") << rapid.IntRange(0, 20).Draw(t, "zeros")
		if n < 0 || n >= 1<<53 {
			t.Skip("beyond the range")
		}
		var b byteSize
		if err := b.Set(byteSize(n).String()); err != nil || int64(b) != n {
			t.Fatalf("%d prints as %s and reads back as %d, %v", n, byteSize(n), b, err)
		}
	})
}

func TestFlagValues(t *testing.T) {
	o := newOptions()
	for _, c := range []struct {
		name  string
		value pflag.Value
		takes map[string]string // what is written -> what it prints as
		not   []string
	}{
		{"from", &o.from, map[string]string{"earliest": "earliest", "LATEST": "latest"}, []string{"", "none", "0"}},
		{"on-failure", &o.onFailure, map[string]string{"stop": "stop", "Skip": "skip"}, []string{"", "retry"}},
		{"log-format", &o.logFormat, map[string]string{"text": "text", "JSON": "json"}, []string{"", "xml"}},
		{"create-topic", &o.createTopic, map[string]string{"true": "true", "false": "false", "1": "1", "30": "30"}, []string{"", "0", "-1", "x", "3000000000"}},
		{"concurrency", &o.concurrency, map[string]string{"1": "1", "10000": "10000"}, []string{"", "0", "-1", "10001", "1.5", "many"}},
		{"task-timeout", &o.taskTimeout, map[string]string{"500ms": "500ms", "5m": "5m", "1h": "1h", "90s": "1m30s"}, []string{"", "0", "0s", "-1s", "5", "5 m"}},
	} {
		for text, prints := range c.takes {
			if err := c.value.Set(text); err != nil || c.value.String() != prints {
				t.Errorf("--%s=%s: %s, %v, want %s", c.name, text, c.value, err, prints)
			}
		}
		for _, text := range c.not {
			if before := c.value.String(); c.value.Set(text) == nil || c.value.String() != before {
				t.Errorf("--%s=%s is taken, or changes the value to %s", c.name, text, c.value)
			}
		}
	}
}

func TestCreateTopicWithoutANumberMeansTheBrokersDefault(t *testing.T) {
	var v createTopicValue
	if err := v.Set("true"); err != nil || v.topicPartitions != -1 {
		t.Fatal(v.topicPartitions, err)
	}
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", 5 * time.Minute: "5m", 2 * time.Hour: "2h",
		time.Hour + time.Second: "1h0m1s", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 0: "0s",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
