package main

import (
	"strings"
	"testing"
)

func TestDevSettings(t *testing.T) {
	o := &devOptions{options: newOptions(), topic: "tasks", keySeparator: `"\t`}
	s, err := o.resolve("dir/p.wasm", environment())
	if err != nil {
		t.Fatal(err)
	}
	if !s.toTheEnd {
		t.Error("it has an end to reach, so a stop before is no success")
	}
	if s.consumer.UntilEnd {
		t.Error("the topic's end at the start is empty: it must not end there")
	}
	if o.keySeparator != "\"\t" || s.group != "wasmton-tasks" {
		t.Errorf("separator %q, group %q", o.keySeparator, s.group)
	}
}

func TestDevTellsAllContradictionsAtOnce(t *testing.T) {
	o := &devOptions{options: newOptions(), topic: "my topic", listen: "9092", keySeparator: `\`}
	_, err := o.resolve("", environment())
	if !isUsage(err) {
		t.Fatal(err)
	}
	for _, part := range []string{"4 problems", `TOPIC "my topic"`, "PROCESSOR", "--listen", "--key-separator"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not told:\n%v", part, err)
		}
	}
}
