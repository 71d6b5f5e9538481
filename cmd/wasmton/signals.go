package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
)

// stopSignals are those that ask us to end: once for a graceful end, twice for
// an end at once.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

// signalError is the cause of a context that a signal ended.
type signalError struct{ signal os.Signal }

func (e *signalError) Error() string { return fmt.Sprintf("stopped by signal: %v", e.signal) }

// code is what a shell expects of a process that a signal ended.
func (e *signalError) code() int {
	if n, ok := e.signal.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return exitFailed
}

// underSignals runs work and lets signals speed it up. The first one cancels
// work's context with a *signalError and calls first. The second one ends
// underSignals at once with the exit code that belongs to it: work then still
// runs, and the process is expected to end.
func underSignals(ctx context.Context, signals <-chan os.Signal, first func(), work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1) // buffered: nobody may be left to receive
	go func() { done <- work(ctx) }()
	select {
	case err := <-done:
		return err
	case s := <-signals:
		cancel(&signalError{s})
		first()
	}
	select {
	case err := <-done:
		return err
	case s := <-signals:
		return &exitError{code: (&signalError{s}).code()}
	}
}
