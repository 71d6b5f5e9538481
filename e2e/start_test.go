//go:build e2e

package e2e

import (
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// --from latest is for the group's very first start. What is produced while
// nobody runs, and what lands in partitions added later, is processed.
func TestFromLatest(t *testing.T) {
	tp, out := newTopic(t, 2), newSink(t)
	run := func(flags ...string) *wasmton {
		return start(t, tp.run(guest(t, "c-processor"), append(flags, "--from=latest", out.grant())...)...)
	}
	put := func(partition int32, message string) {
		tp.produce(&kgo.Record{Partition: partition, Value: task(message)})
	}

	put(0, "before the first start")
	w := run()
	await(t, "offsets of the first start", func() bool { return len(tp.committed()) == 2 }, w)
	w.signal(syscall.SIGTERM)
	w.wait(0)
	if got := out.text(); got != "" {
		t.Fatalf("the first start from latest processed %q", got)
	}

	put(1, "while nobody ran")
	w = run("--until-end")
	w.wait(0)
	w.says("--from")
	if got := out.text(); got != "while nobody ran\n" {
		t.Fatalf("messages: %q", got)
	}

	tp.addPartition()
	put(2, "in a new partition")
	w = run("--until-end")
	w.wait(0)
	if got := out.text(); got != "while nobody ran\nin a new partition\n" {
		t.Fatalf("messages: %q", got)
	}
}

func (tp *topic) addPartition() {
	tp.t.Helper()
	resp, err := tp.admin.CreatePartitions(tp.t.Context(), 1, tp.name)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		tp.t.Fatal(err)
	}
	// A producer learns of new partitions within minutes; a new one knows them.
	tp.client = newClient(tp.t, sharedCluster(tp.t), kgo.DefaultProduceTopic(tp.name))
}

// At the start wasmton tells where the group stands.
func TestTheStartTellsTheGroupsOffsets(t *testing.T) {
	tp := newTopic(t, 1)
	tp.produce(newMessages(t, 1).next(5)...)
	w := start(t, tp.run(guest(t, "noop.wat"), "--until-end")...)
	w.wait(0)
	w.says(tp.group(), "none", "earliest")
	w = start(t, tp.run(guest(t, "noop.wat"), "--until-end")...)
	w.wait(0)
	w.says(tp.group(), "5")
}

// Members of one group that run different modules are most often a mistake.
func TestAMemberWithAnotherModule(t *testing.T) {
	tp := newTopic(t, 2)
	a := start(t, tp.run(guest(t, "noop.wat"))...)
	await(t, "a member", func() bool { return tp.shared(1) }, a)
	b := start(t, tp.run(guest(t, "size.wat"))...)
	await(t, "a second member", func() bool { return tp.shared(2) }, a, b)
	b.signal(syscall.SIGTERM)
	b.wait(0)
	b.says("wasmton-noop")
	a.signal(syscall.SIGTERM)
	a.wait(0)
}
