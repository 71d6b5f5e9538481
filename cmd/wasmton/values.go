package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/wasmton/wasmton/consumer"
)

// byteSize is a flag that counts bytes: "256MiB", "1.5GiB", "64000".
type byteSize int64

// byteUnits are the units that byteSize reads, in lower case. Those with an i
// are powers of 1,024, the others powers of 1,000. A bare m is refused: it is
// 1,000,000 to some tools and 1,048,576 to others.
var byteUnits = map[string]float64{
	"": 1, "b": 1,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
	"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30,
	"kb": 1e3, "mb": 1e6, "gb": 1e9,
}

func (b *byteSize) Set(s string) error {
	s = strings.TrimSpace(s)
	digits := strings.TrimRightFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	unit, known := byteUnits[strings.ToLower(strings.TrimSpace(s[len(digits):]))]
	n, err := strconv.ParseFloat(digits, 64)
	if !known || err != nil || strings.ContainsAny(digits, "eExXpP_+-") {
		return errors.New("write a number and a unit: B, KiB, MiB, GiB, or kB, MB, GB for powers of 1,000")
	}
	bytes := n * unit
	if bytes != math.Trunc(bytes) || bytes >= 1<<53 {
		return errors.New("must be a whole number of bytes below 2^53")
	}
	*b = byteSize(bytes)
	return nil
}

func (b byteSize) String() string { return formatBytes(int64(b)) }
func (byteSize) Type() string     { return "size" }

// formatBytes gives n in the largest binary unit that divides it, so that what
// it prints is exact and byteSize reads it back.
func formatBytes(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n != 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// fromValue is --from. set tells a default from a choice, since a choice that
// has no effect is worth a warning.
type fromValue struct {
	from consumer.From
	set  bool
}

func (f *fromValue) Set(s string) error {
	switch strings.ToLower(s) {
	case "earliest":
		f.from = consumer.Earliest
	case "latest":
		f.from = consumer.Latest
	default:
		return errors.New("must be earliest or latest")
	}
	f.set = true
	return nil
}

func (f *fromValue) String() string {
	if f.from == consumer.Latest {
		return "latest"
	}
	return "earliest"
}
func (*fromValue) Type() string { return "earliest|latest" }

// onFailureValue is --on-failure.
type onFailureValue consumer.OnFailure

func (v *onFailureValue) Set(s string) error {
	switch strings.ToLower(s) {
	case "stop":
		*v = onFailureValue(consumer.Stop)
	case "skip":
		*v = onFailureValue(consumer.Skip)
	default:
		return errors.New("must be stop or skip")
	}
	return nil
}

func (v *onFailureValue) String() string {
	if *v == onFailureValue(consumer.Skip) {
		return "skip"
	}
	return "stop"
}
func (*onFailureValue) Type() string { return "stop|skip" }

// logFormatValue is --log-format.
type logFormatValue string

const (
	formatText logFormatValue = "text"
	formatJSON logFormatValue = "json"
)

func (v *logFormatValue) Set(s string) error {
	switch f := logFormatValue(strings.ToLower(s)); f {
	case formatText, formatJSON:
		*v = f
		return nil
	}
	return errors.New("must be text or json")
}

func (v *logFormatValue) String() string { return string(*v) }
func (*logFormatValue) Type() string     { return "text|json" }

// topicPartitions is a flag for a number of partitions: 0 when it was not given.
type topicPartitions int32

func (p *topicPartitions) Set(s string) error {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 {
		return errors.New("must be a number of partitions, 1 or more")
	}
	*p = topicPartitions(n)
	return nil
}

func (p *topicPartitions) String() string { return strconv.FormatInt(int64(*p), 10) }
func (*topicPartitions) Type() string     { return "int" }

// createTopicValue is --create-topic, whose number may be left out: 0 when the
// flag was not given, -1 for as many partitions as the broker gives a topic.
type createTopicValue struct{ topicPartitions }

func (v *createTopicValue) Set(s string) error {
	switch s {
	case "true":
		v.topicPartitions = -1
		return nil
	case "false":
		v.topicPartitions = 0
		return nil
	}
	return v.topicPartitions.Set(s)
}

// Type is a bool's, so that help shows the flag as one that needs no value.
func (*createTopicValue) Type() string { return "bool" }

func (v *createTopicValue) String() string {
	if v.topicPartitions <= 0 {
		return strconv.FormatBool(v.topicPartitions < 0)
	}
	return v.topicPartitions.String()
}

// positiveDuration is a flag for a time span that must be more than 0. Zero
// would mean "the default" further down, which is not what somebody who writes 0
// wants.
type positiveDuration time.Duration

func (d *positiveDuration) Set(s string) error {
	v, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return errors.New("write a number with its unit: 500ms, 20s, 5m, 1h")
	case v <= 0:
		return errors.New("must be more than 0")
	}
	*d = positiveDuration(v)
	return nil
}

// String is "" for 0, which stands for a flag that was not given.
func (d *positiveDuration) String() string {
	if *d == 0 {
		return ""
	}
	return shortDuration(time.Duration(*d))
}
func (*positiveDuration) Type() string { return "duration" }

// shortDuration is Duration.String without its trailing zero units: 5m, not 5m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// positiveInt is a flag for a count of 1 or more, up to max.
type positiveInt struct{ n, max int }

func (v *positiveInt) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > v.max {
		return fmt.Errorf("must be a whole number from 1 to %d", v.max)
	}
	v.n = n
	return nil
}

func (v *positiveInt) String() string { return strconv.Itoa(v.n) }
func (*positiveInt) Type() string     { return "int" }
