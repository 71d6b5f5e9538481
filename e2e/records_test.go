//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What a record may lack, and that the guest's output comes with the coordinates
// of its record.
func TestRecordsThatLackSomething(t *testing.T) {
	tp := newTopic(t, 2)
	tp.produce(
		&kgo.Record{Partition: 0, Key: []byte("k"), Value: []byte("value")},
		&kgo.Record{Partition: 0, Key: []byte("k"), Value: nil},            // tombstone
		&kgo.Record{Partition: 0, Key: nil, Value: []byte("null key")},     //
		&kgo.Record{Partition: 0, Key: []byte{}, Value: []byte{}},          // both empty
		&kgo.Record{Partition: 1, Key: nil, Value: nil},                    // nothing at all
		&kgo.Record{Partition: 1, Key: []byte("k"), Value: []byte{0, 255}}, // not text
	)
	w := start(t, tp.run(guest(t, "size.wat"), "--until-end", "--log-format=json")...)
	w.wait(0)
	w.summary(6, 0)

	want := []string{"0@0 length 5", "0@1 length 0", "0@2 length 8", "0@3 length 0", "1@0 length 0", "1@1 length 2"}
	var got []string
	for line := range strings.Lines(w.stderr.String()) {
		var entry struct {
			Msg, Topic, Stream string
			Partition          int32
			Offset             int64
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("no JSON on standard error: %q", line)
			continue
		}
		if entry.Stream == "stdout" && entry.Topic == tp.name {
			got = append(got, fmt.Sprintf("%d@%d %s", entry.Partition, entry.Offset, entry.Msg))
		}
	}
	slices.Sort(got) // partitions take no turns
	if !slices.Equal(got, want) {
		t.Errorf("the guest's lines: %q, want %q", got, want)
	}
}
