//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// SIGTERM in mid-stream: what was processed is committed, the group is left, and
// the next start repeats nothing.
func TestStoppingCommitsAndLeavesTheGroup(t *testing.T) {
	tp, m, out := newTopic(t, 3), newMessages(t, 3), newSink(t)
	tp.produce(m.next(100_000)...)
	w := start(t, tp.run(guest(t, "c-processor"), out.grant())...)
	await(t, "some messages", func() bool { return out.size() > 50_000 }, w)
	w.signal(syscall.SIGTERM)
	w.wait(0)

	if members := tp.members(); len(members) != 0 {
		t.Errorf("the group still has members: %v", members)
	}
	sum := int64(0)
	for _, offset := range tp.committed() {
		sum += offset
	}
	if lines := len(out.lines()); int64(lines) != sum || lines == m.total() {
		t.Errorf("%d of %d messages were processed, %d are committed", lines, m.total(), sum)
	}
	w.summary(int(sum), 0)

	w = start(t, tp.run(guest(t, "c-processor"), "--until-end", out.grant())...)
	w.wait(0)
	m.checkOnce(out.lines())
}

// spinning starts wasmton on a topic with one record, and returns when the guest
// computes for ever.
func spinning(t *testing.T, flags ...string) (*topic, *wasmton) {
	t.Helper()
	tp, out := newTopic(t, 1), newSink(t)
	tp.produce(&kgo.Record{Value: []byte("x")})
	w := start(t, tp.run(guest(t, "spin.wat"), append(flags, out.grant())...)...)
	await(t, "the guest to start", func() bool {
		_, err := os.Stat(filepath.Join(out.dir, "started"))
		return err == nil
	}, w)
	return tp, w
}

func TestASecondSignalLeavesAtOnce(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		t.Run(signal.String(), func(t *testing.T) {
			tp, w := spinning(t, "--drain-timeout=10m", "--task-timeout=20m")
			w.signal(signal)
			await(t, "a word on the first signal", func() bool { return strings.Contains(w.stderr.String(), "again") }, w)
			if !w.running() {
				t.Fatal("the first signal did not wait for the running task")
			}
			w.signal(signal)
			w.wait(code)
			if c := tp.committed(); c[0] > 0 {
				t.Errorf("committed %v, past a record that was not processed", c)
			}
		})
	}
}

// A task that outlasts the drain timeout is cut short. It is not done, so that the
// next start begins with it; nothing is wrong with that.
func TestAStopCutsATaskShortAtTheDrainDeadline(t *testing.T) {
	tp, w := spinning(t, "--drain-timeout=500ms", "--task-timeout=20m")
	w.signal(syscall.SIGTERM)
	w.wait(0)
	w.says("drain timeout")
	w.summary(0, 0)
	if c := tp.committed(); c[0] > 0 {
		t.Errorf("committed %v, past a record that was not processed", c)
	}
}

func TestATaskThatTakesTooLongFails(t *testing.T) {
	tp, w := spinning(t, "--task-timeout=500ms")
	w.wait(1)
	w.says(tp.name+"/0@0", "--task-timeout")
	if c := tp.committed(); c[0] > 0 {
		t.Errorf("committed %v, past a record that was not processed", c)
	}
}

// --until-end that is cut short says so by its exit code, with the summary of what
// it did; what it did is committed.
func TestUntilEndCutShort(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		t.Run(signal.String(), func(t *testing.T) {
			tp, m, out := newTopic(t, 1), newMessages(t, 1), newSink(t)
			tp.produce(m.next(100_000)...)
			w := start(t, tp.run(guest(t, "c-processor"), "--until-end", out.grant())...)
			await(t, "some messages", func() bool { return out.size() > 50_000 }, w)
			w.signal(signal)
			w.wait(code)
			lines := len(out.lines())
			if lines == m.total() {
				t.Error("it was not cut short")
			}
			w.summary(lines, 0)
			if c := tp.committed(); c[0] != int64(lines) {
				t.Errorf("%d messages were processed, but %d are committed", lines, c[0])
			}
		})
	}
}
