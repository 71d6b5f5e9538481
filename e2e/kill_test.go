//go:build e2e

package e2e

import (
	"math/rand/v2"
	"testing"
)

// kill -9 in mid-stream, again and again: no message is lost, and none overtakes
// another of its key.
func TestKillingTheProcessLosesNoMessage(t *testing.T) {
	const total, kills = 150_000, 6
	tests := map[string][]string{
		"a lane a partition":         nil,
		"four lanes a partition":     {"--concurrency=4"},
		"commits at short intervals": {"--commit-interval=10ms"},
	}
	for name, flags := range tests {
		t.Run(name, func(t *testing.T) {
			tp, m, out := newTopic(t, 3), newMessages(t, 3), newSink(t)
			tp.produce(m.next(total)...)
			flags := append(append(sessionFlags(), out.grant()), flags...)
			expected := int64(0) // bytes when each message is there once
			for key, sent := range m.sent {
				for i := range sent {
					expected += int64(len(key) + len(" \n") + digits(i))
				}
			}

			for range kills {
				before := out.size()
				w := start(t, tp.run(guest(t, "c-processor"), flags...)...)
				enough := before + 1 + rand.Int64N(expected/(2*kills))
				await(t, "more messages", func() bool { return out.size() >= enough }, w)
				w.kill()
			}
			if tp.caughtUp() {
				t.Error("all was committed before the last kill, so that no kill came in mid-stream")
			}

			w := start(t, tp.run(guest(t, "c-processor"), append(flags, "--until-end")...)...)
			w.wait(0)
			repeated := m.check(out.lines())
			t.Logf("%d of %d messages were repeated after %d kills", repeated, total, kills)
			if !tp.caughtUp() {
				t.Errorf("committed %v of %v", tp.committed(), tp.ends())
			}
		})
	}
}

func digits(n int) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}
