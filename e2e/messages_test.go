//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// messages makes tasks for the example guests and judges the file that they
// append to. A message is a key and a number that rises by one within the key.
type messages struct {
	t          *testing.T
	keys       int
	partitions int
	sent       map[string]int // by key
}

func newMessages(t *testing.T, partitions int) *messages {
	return &messages{t: t, keys: 50, partitions: partitions, sent: map[string]int{}}
}

// next makes n more records, with keys at random. A key has one partition.
func (m *messages) next(n int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		number := rand.IntN(m.keys)
		key := fmt.Sprintf("key%d", number)
		records[i] = &kgo.Record{
			Key:       []byte(key),
			Value:     task(fmt.Sprintf("%s %d", key, m.sent[key])),
			Partition: int32(number % m.partitions),
		}
		m.sent[key]++
	}
	return records
}

// task makes the value of a record from a message.
func task(message string) []byte {
	value, err := json.Marshal(map[string]string{"message": message})
	if err != nil {
		panic(err) // a map of strings can be marshalled
	}
	return value
}

func (m *messages) total() (n int) {
	for _, sent := range m.sent {
		n += sent
	}
	return n
}

// check judges the lines of a guest's file: every message is there, and nothing
// else; within a key, messages appear for the first time in their order. It
// returns how many lines repeat a message.
func (m *messages) check(lines []string) (repeated int) {
	m.t.Helper()
	seen := map[string]int{} // of each key, 0 to seen-1 have appeared
	var complaints []string
	for i, line := range lines {
		key, text, _ := strings.Cut(line, " ")
		number, err := strconv.Atoi(text)
		switch {
		case err != nil || number < 0 || number >= m.sent[key]:
			complaints = append(complaints, fmt.Sprintf("line %d: %.100q was never sent", i+1, line))
		case number < seen[key]:
			repeated++
		case number > seen[key]:
			complaints = append(complaints, fmt.Sprintf("line %d: %q, but %s %d was not there before", i+1, line, key, seen[key]))
			seen[key] = number + 1
		default:
			seen[key]++
		}
	}
	for key, sent := range m.sent {
		if seen[key] < sent {
			complaints = append(complaints, fmt.Sprintf("%s %d and what follows is missing (%d were sent)", key, seen[key], sent))
		}
	}
	if n := len(complaints); n > 0 {
		slices.Sort(complaints)
		m.t.Errorf("%d complaints, among them:\n%s", n, strings.Join(complaints[:min(n, 10)], "\n"))
	}
	return repeated
}

// checkOnce is check where each message must be there exactly once.
func (m *messages) checkOnce(lines []string) {
	m.t.Helper()
	if repeated := m.check(lines); repeated > 0 {
		m.t.Errorf("%d messages of %d are there more than once", repeated, m.total())
	}
}

// sink is a directory that a guest sees as its root.
type sink struct {
	t   *testing.T
	dir string
}

func newSink(t *testing.T) *sink { return &sink{t, t.TempDir()} }

// grant is the flag that grants the directory.
func (s *sink) grant() string { return "--dir=" + s.dir + "::/" }

func (s *sink) text() string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "messages"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return string(text)
}

// lines returns the lines of the guest's file. The last must be whole.
func (s *sink) lines() []string {
	s.t.Helper()
	text := s.text()
	if text == "" {
		return nil
	}
	if !strings.HasSuffix(text, "\n") {
		s.t.Fatalf("the file ends within a line: %.100q", text[strings.LastIndexByte(text, '\n')+1:])
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// size returns how many bytes the guest has appended.
func (s *sink) size() int64 {
	s.t.Helper()
	info, err := os.Stat(filepath.Join(s.dir, "messages"))
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return info.Size()
}
