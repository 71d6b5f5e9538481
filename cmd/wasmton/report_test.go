package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/wasihost"
)

func newTestReport(o logOptions) (*taskReport, *bytes.Buffer) {
	out := &bytes.Buffer{}
	a := &app{console: &console{w: out, fd: -1}}
	a.startLog(&o)
	return newTaskReport(a, o.logFormat, o.quiet), out
}

func TestATaskIsReportedWithItsLinesBeneath(t *testing.T) {
	report, out := newTestReport(logOptions{logFormat: formatText})
	one := &processor.Record{Topic: "tasks", Partition: 0, Offset: 7}
	two := &processor.Record{Topic: "tasks", Partition: 1, Offset: 7}
	report.line(one, wasihost.Stdout, []byte("hello"))
	report.line(two, wasihost.Stdout, []byte("other"))
	report.line(one, wasihost.Stderr, []byte("\x1b[2Joops"))
	if out.Len() != 0 {
		t.Errorf("lines come before their task: %q", out)
	}
	report.observe(one, processor.Outcome{Kind: processor.Done}, 1234567*time.Nanosecond)
	report.observe(two, processor.Outcome{Kind: processor.Failed, Err: errors.New("x")}, time.Second)
	report.observe(one, processor.Outcome{Kind: processor.Interrupted}, 0) // its lines are gone
	want := "tasks/0@7 done in 1.23ms\n    stdout: hello\n    stderr: \\x1b[2Joops\n" +
		"tasks/1@7 failed in 1s\n    stdout: other\n" +
		"tasks/0@7 interrupted in 0s\n"
	if got := out.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if len(report.held) != 0 {
		t.Errorf("%d tasks are remembered for ever", len(report.held))
	}
}

func TestATaskThatWritesMuchIsNotHeldBack(t *testing.T) {
	report, out := newTestReport(logOptions{logFormat: formatText})
	r := &processor.Record{Topic: "t", Offset: 1}
	line := bytes.Repeat([]byte("x"), 1000)
	for range maxHeldOutput/1000 + 10 {
		report.line(r, wasihost.Stdout, line)
	}
	if got := strings.Count(out.String(), "t/0@1 stdout: "); got != maxHeldOutput/1000+10 {
		t.Errorf("%d lines are shown", got)
	}
	report.observe(r, processor.Outcome{Kind: processor.Done}, 0)
	if got := out.String(); !strings.HasSuffix(got, "xxx\nt/0@1 done in 0s\n") || len(report.held) != 0 {
		t.Errorf("…%q", got[len(got)-80:])
	}
}

func TestReportInJSON(t *testing.T) {
	report, out := newTestReport(logOptions{logFormat: formatJSON})
	r := &processor.Record{Topic: "t", Partition: 2, Offset: 1}
	report.line(nil, wasihost.Stderr, []byte("starting"))
	report.line(r, wasihost.Stdout, []byte("hello"))
	report.observe(r, processor.Outcome{Kind: processor.Done}, 1500*time.Millisecond)
	var messages []string
	for line := range strings.Lines(out.String()) {
		var record struct {
			Msg, Stream, Topic, Outcome string
			Offset                      int
			Seconds                     float64
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, record.Msg)
		if record.Msg == "task done" && (record.Seconds != 1.5 || record.Offset != 1 || record.Outcome != "done") {
			t.Errorf("%s", line)
		}
	}
	if got := strings.Join(messages, ", "); got != "starting, hello, task done" {
		t.Error(got)
	}
}

func TestQuietReportsNothing(t *testing.T) {
	report, out := newTestReport(logOptions{logFormat: formatText, quiet: true})
	r := &processor.Record{Topic: "t"}
	report.line(nil, wasihost.Stdout, []byte("x"))
	report.line(r, wasihost.Stdout, []byte("x"))
	if report.observer() != nil {
		t.Error("it asks to be told of each task")
	}
	if out.Len() != 0 || len(report.held) != 0 {
		t.Errorf("%q, %d held", out, len(report.held))
	}
}

func TestRoundDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 999: "999ns", 1234: "1.23µs", 12345: "12.3µs", 999999: "1ms", 1234567: "1.23ms", 71234567890: "1m11.2s",
	} {
		if got := roundDuration(d).String(); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
