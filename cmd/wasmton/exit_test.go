package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/wasihost"
)

func TestExitCode(t *testing.T) {
	record := &consumer.RecordError{Topic: "t", Err: errors.New("bad")}
	for _, c := range []struct {
		what string
		err  error
		want int
	}{
		{"no error", nil, 0},
		{"any error", errors.New("x"), 1},
		{"a failed record", record, 1},
		{"tasks that did not end", &consumer.DrainError{}, 1},
		{"a failed commit", &consumer.CommitError{Err: errors.New("x")}, 1},
		{"wrong usage", usagef("x"), 2},
		{"no Wasm module", &wasihost.FormatError{}, 2},
		{"a module that does not link", &wasihost.LinkError{}, 2},
		{"a refused grant", refused(errors.New("x")), 2},
		{"no broker", &consumer.ConnectError{}, 3},
		{"no topic", &consumer.TopicError{Err: consumer.ErrTopicMissing}, 3},
		{"no permission for the group", &consumer.GroupError{Err: errors.New("x")}, 3},
		{"interrupt", &exitError{code: (&signalError{stopSignals[0]}).code()}, 130},
		{"terminate", &exitError{code: (&signalError{stopSignals[1]}).code()}, 143},
	} {
		for _, err := range []error{c.err, wrapped(c.err)} {
			if got := exitCode(err); got != c.want {
				t.Errorf("%s: %d, want %d", c.what, got, c.want)
			}
		}
	}
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("more about it: %w", err)
}

func TestLastWordsSayWhatToDoNext(t *testing.T) {
	for _, c := range []struct {
		err   error
		parts []string
	}{
		{
			&consumer.RecordError{Topic: "tasks", Partition: 3, Offset: 812, Err: errors.New("unreachable\n  0: run")},
			[]string{"tasks/3@812 failed: unreachable\n  0: run\n", "Nothing was committed from tasks/3@812 on", "--on-failure skip"},
		},
		{&consumer.TopicError{Topic: "t", Reason: "missing", Err: consumer.ErrTopicMissing}, []string{`topic "t"`, "--create-topic"}},
		{&consumer.DrainError{Running: []consumer.Running{{Topic: "t", Offset: 9}}}, []string{"t/0@9", "--drain-timeout"}},
		{errors.New("plain"), []string{"plain"}},
	} {
		for _, part := range c.parts {
			if got := lastWords(wrapped(c.err)); !strings.Contains(got, part) {
				t.Errorf("%q is missing in:\n%s", part, got)
			}
		}
	}
	for _, silent := range []error{nil, &exitError{code: 130}} {
		if got := lastWords(silent); got != "" {
			t.Errorf("%v: %q", silent, got)
		}
	}
}

func TestHowARunEnds(t *testing.T) {
	failed := errors.New("failed")
	stop := &signalError{stopSignals[1]}
	for _, c := range []struct {
		what     string
		cause    error // that the context ended with; nil if it did not
		err      error // what the run returned
		toTheEnd bool
		want     int
	}{
		{"it came to its end", nil, nil, false, 0},
		{"it reached the end of the topic", nil, nil, true, 0},
		{"a signal stopped it", stop, nil, false, 0},
		{"a signal stopped it while it started", stop, wrapped(context.Canceled), false, 0},
		{"a signal stopped it while the module started", stop, wrapped(wasihost.ErrInterrupted), false, 0},
		{"a signal stopped it, told by cause", stop, wrapped(stop), false, 0},
		{"a signal stopped it before the end of the topic", stop, nil, true, 143},
		{"a signal stopped it before the start", stop, context.Canceled, true, 143},
		{"it failed", nil, failed, false, 1},
		{"it failed while it stopped", stop, failed, false, 1},
		{"it failed while it stopped before the end", stop, failed, true, 1},
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		if c.cause != nil {
			cancel(c.cause)
		}
		s := &settings{toTheEnd: c.toTheEnd}
		if got := exitCode(s.ended(ctx, c.err)); got != c.want {
			t.Errorf("%s: exit code %d, want %d", c.what, got, c.want)
		}
		cancel(nil)
	}
}
