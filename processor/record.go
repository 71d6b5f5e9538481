package processor

import (
	"strconv"
	"time"
)

// Record is one record of a topic, as a Processor sees it.
//
// Key, Value and Headers may be kept after Process has returned; they must not
// be written to. The Record itself, an element of the batch, is reused: keep a
// copy of it, not its address.
type Record struct {
	Topic     string
	Partition int32
	// Offset is the record's place in its partition, 0 or more. Offsets grow
	// within a partition but need not be contiguous.
	Offset int64
	// Key is nil where the record has none. Records of one partition that share
	// a key are processed in order and never two at once.
	Key []byte
	// Value is the task. It is nil for a tombstone, and not nil but of length 0
	// for an empty record.
	Value   []byte
	Headers []Header
	// Time is the record's timestamp: the producer's clock, or the broker's
	// where the topic says LogAppendTime. Its resolution is a millisecond.
	Time time.Time
	// Attempt counts how often this record was handed to a Processor since this
	// member took over its partition, this time included: 1 for the first.
	Attempt int
}

// Header is one header of a record. Names may repeat.
type Header struct {
	Key   string
	Value []byte
}

// Coordinates names the record for people: topic/partition@offset.
func (r *Record) Coordinates() string {
	b := make([]byte, 0, len(r.Topic)+24)
	b = append(b, r.Topic...)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(r.Partition), 10)
	b = append(b, '@')
	b = strconv.AppendInt(b, r.Offset, 10)
	return string(b)
}
