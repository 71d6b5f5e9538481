//go:build e2e

package e2e

import (
	"bytes"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// exampleGuests do the same in three languages. original-form is the fourth that
// appends messages; it knows no task_size and can't tell of failures but by a trap.
var exampleGuests = []string{"rust-processor", "go-processor", "c-processor"}

func TestGuestsAppendTheMessagesOfATopic(t *testing.T) {
	partitions := map[string]int{"rust-processor": 3, "go-processor": 3, "c-processor": 3}
	// It writes a message and its line end in two steps, which two instances must
	// not do to one file.
	partitions["original-form"] = 1
	for name, n := range partitions {
		t.Run(name, func(t *testing.T) {
			tp, m, out := newTopic(t, n), newMessages(t, n), newSink(t)
			tp.produce(m.next(3000)...)
			w := start(t, tp.run(guest(t, name), "--until-end", out.grant())...)
			w.wait(0)
			w.summary(3000, 0)
			m.checkOnce(out.lines())
			if !tp.caughtUp() {
				t.Errorf("committed %v of %v", tp.committed(), tp.ends())
			}
		})
	}
}

// Keys keep their order when several lanes share a partition.
func TestLanesKeepTheOrderOfEachKey(t *testing.T) {
	tp, m, out := newTopic(t, 2), newMessages(t, 2), newSink(t)
	tp.produce(m.next(20000)...)
	w := start(t, tp.run(guest(t, "c-processor"), "--until-end", "--concurrency=4", out.grant())...)
	w.wait(0)
	w.summary(20000, 0)
	m.checkOnce(out.lines())
}

// The three examples agree on which task is good, and what its message is.
func TestExampleGuestsReadTheSameJSON(t *testing.T) {
	good := []string{
		`{"message":"hello"}`,
		`{"message":""}`,
		` { "message" : "spaces" } `,
		`{"message":"A\u00e9\u20ac\ud83d\ude80"}`,
		`{"message":"é, 你好, 👋"}`,
		`{"message":"\"\\\/\t"}`,
		`{"a":[1,-2.5e3,{"message":"inner"}],"message":"outer","b":null}`,
		strings.Repeat(" ", 100_000) + `{"message":"behind many spaces"}`,
	}
	want := "hello\n\nspaces\nAé€🚀\né, 你好, 👋\n\"\\/\t\nouter\nbehind many spaces\n"
	bad := []string{
		`no JSON`,
		`{}`,
		`[]`,
		`null`,
		`"message"`,
		`{"message":1}`,
		`{"message":null}`,
		`{"message":"x"`,
		`{"message":"x"}}`,
		`{"message":"x",}`,
		`{"message":"\x"}`,
		`{"message":"x","a":01}`,
		`{"message":"x","a":tru}`,
		"{\"message\":\"a\tb\"}",
	}
	var input bytes.Buffer
	for _, line := range append(append([]string{}, good...), bad...) {
		input.WriteString(line + "\n")
	}
	for _, name := range exampleGuests {
		t.Run(name, func(t *testing.T) {
			out := newSink(t)
			w := startWithInput(t, bytes.NewReader(input.Bytes()),
				"dev", "--listen=127.0.0.1:0", "--on-failure=skip", out.grant(), guest(t, name))
			w.wait(0)
			w.summary(len(good), len(bad))
			if got := out.text(); got != want {
				t.Errorf("messages:\n%s\nwant:\n%s", got, want)
			}
			w.says("bad task")
		})
	}
}

func TestATaskOf20MiB(t *testing.T) {
	const size = 20 << 20
	large := strings.Repeat("0123456789abcdef", size/16)
	for _, name := range exampleGuests {
		t.Run(name, func(t *testing.T) {
			tp, out := newTopic(t, 1, "max.message.bytes=33554432"), newSink(t)
			// With small ones before, between and behind.
			tp.produce(
				&kgo.Record{Value: task("first")},
				&kgo.Record{Value: task(large)},
				&kgo.Record{Value: task("between")},
				&kgo.Record{Value: task(large)},
				&kgo.Record{Value: task("last")})
			w := start(t, tp.run(guest(t, name), "--until-end", out.grant())...)
			w.wait(0)
			w.summary(5, 0)
			// Compared without printing it.
			if got, want := out.text(), "first\n"+large+"\nbetween\n"+large+"\nlast\n"; got != want {
				t.Errorf("messages have %d bytes, want %d; the same: %t", len(got), len(want), got == want)
			}
		})
	}
}

// A guest of the original form has a buffer of 1 MiB. A task that doesn't fit
// fails alone.
func TestATaskTooLargeForTheOriginalFormFailsAlone(t *testing.T) {
	tp, out := newTopic(t, 1, "max.message.bytes=4194304"), newSink(t)
	const room = 1 << 20
	fits := strings.Repeat("x", room-len(task("")))
	tp.produce(
		&kgo.Record{Value: task("first")},
		&kgo.Record{Value: task(fits)},
		&kgo.Record{Value: task(fits + "x")},
		&kgo.Record{Value: task("last")})
	w := start(t, tp.run(guest(t, "original-form"), "--until-end", "--on-failure=skip", out.grant())...)
	w.wait(0)
	w.summary(3, 1)
	if got := out.text(); got != "first\n"+fits+"\nlast\n" {
		t.Errorf("messages: %d bytes, %.20q…", len(got), got)
	}
}
