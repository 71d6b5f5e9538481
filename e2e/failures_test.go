//go:build e2e

package e2e

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// mixed is a topic of one partition with nine tasks, the one at offset 4 bad.
func mixed(t *testing.T) *topic {
	t.Helper()
	tp := newTopic(t, 1)
	for i := range 9 {
		value := task(string(rune('a' + i)))
		if i == 4 {
			value = []byte("no JSON")
		}
		tp.produce(&kgo.Record{Value: value})
	}
	return tp
}

// By default a failed task stops everything: what is before it is committed, the
// message says where and why, and the next start begins with it.
func TestAFailedTaskStops(t *testing.T) {
	tests := map[string][]string{
		"rust-processor": {"bad task"},              // by its result
		"original-form":  {"unreachable", "unwrap"}, // by a panic, which is a trap
	}
	for name, reasons := range tests {
		t.Run(name, func(t *testing.T) {
			tp, out := mixed(t), newSink(t)
			for range 2 {
				w := start(t, tp.run(guest(t, name), "--until-end", out.grant())...)
				w.wait(1)
				w.says(tp.name + "/0@4")
				w.says(reasons...)
				if got := out.text(); got != "a\nb\nc\nd\n" {
					t.Errorf("messages: %q, want those before the bad task, once", got)
				}
				if c := tp.committed(); c[0] != 4 {
					t.Errorf("committed %v, want 4", c)
				}
			}
		})
	}
}

func TestAFailedTaskIsSkipped(t *testing.T) {
	for _, name := range []string{"rust-processor", "original-form"} {
		t.Run(name, func(t *testing.T) {
			tp, out := mixed(t), newSink(t)
			w := start(t, tp.run(guest(t, name), "--until-end", "--on-failure=skip", out.grant())...)
			w.wait(0)
			w.summary(8, 1)
			if got := out.text(); got != "a\nb\nc\nd\nf\ng\nh\ni\n" {
				t.Errorf("messages: %q", got)
			}
			if c := tp.committed(); c[0] != 9 {
				t.Errorf("committed %v, want 9", c)
			}
		})
	}
}

func TestATopicThatIsMissing(t *testing.T) {
	tp := newTopic(t, 1)
	tp.name += "-other"
	w := start(t, tp.run(guest(t, "noop.wat"), "--until-end")...)
	w.wait(3)
	w.says(tp.name, "--create-topic")

	w = start(t, tp.run(guest(t, "noop.wat"), "--until-end", "--create-topic=2")...)
	w.wait(0)
	w.summary(0, 0)
	if ends := tp.ends(); len(ends) != 2 {
		t.Errorf("the topic was made with %d partitions, want 2", len(ends))
	}
}
