package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/wasihost"
)

// Exit codes. Scripts and process managers rest on them, so they don't change.
// Besides these, 128+n means that signal n ended the process.
const (
	exitOK          = 0 // all went well; also after a graceful stop
	exitFailed      = 1 // it ran, and failed
	exitUsage       = 2 // wrong usage, or a module or grant that can't be used
	exitUnreachable = 3 // a broker or a topic can't be reached
)

// exitError is an error that chooses its exit code.
type exitError struct {
	code int
	err  error // nil where all has been said already
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is wrong usage of the command line. Its message is followed by a
// pointer to the help.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// refused wraps what makes a module or a grant unusable.
func refused(err error) error { return &exitError{exitUsage, err} }

// exitCode says which code err ends the process with. Only types are looked at,
// never text.
func exitCode(err error) int {
	var (
		exit   *exitError
		usage  *usageError
		format *wasihost.FormatError
		link   *wasihost.LinkError
		broker *consumer.ConnectError
		topic  *consumer.TopicError
		group  *consumer.GroupError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage), errors.As(err, &format), errors.As(err, &link):
		return exitUsage
	case errors.As(err, &broker), errors.As(err, &topic), errors.As(err, &group):
		return exitUnreachable
	}
	return exitFailed
}

func isUsage(err error) bool {
	var usage *usageError
	return errors.As(err, &usage)
}

// lastWords is what a person reads of err at the end of the run: what was wrong,
// where, and what to do next. It is "" where nothing remains to be said.
func lastWords(err error) string {
	var exit *exitError
	if err == nil || errors.As(err, &exit) && exit.err == nil {
		return ""
	}
	var (
		record *consumer.RecordError
		drain  *consumer.DrainError
	)
	message := strings.TrimRight(err.Error(), "\n")
	switch {
	case errors.As(err, &record):
		return message + fmt.Sprintf("\nNothing was committed from %s/%d@%d on. Mend what made it fail and start again: the group goes on with this record."+
			"\nOr go on past records that fail: --on-failure skip", record.Topic, record.Partition, record.Offset)
	case errors.Is(err, consumer.ErrTopicMissing):
		return message + "; check the name, or let wasmton make the topic: --create-topic"
	case errors.As(err, &drain):
		return message + "\nTheir offsets were not committed, so they are processed again at the next start. --drain-timeout gives tasks longer to finish."
	}
	return message
}
