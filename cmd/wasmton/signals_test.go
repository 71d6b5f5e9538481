package main

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
)

func TestWithoutSignalsWorkDecides(t *testing.T) {
	want := errors.New("done")
	err := underSignals(t.Context(), nil, func() { t.Error("no signal came") }, func(context.Context) error { return want })
	if err != want {
		t.Errorf("%v", err)
	}
}

func TestTheFirstSignalCancelsAndWaits(t *testing.T) {
	signals := make(chan os.Signal, 2)
	signals <- os.Interrupt
	told := false
	err := underSignals(t.Context(), signals, func() { told = true }, func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	var stop *signalError
	if !errors.As(err, &stop) || stop.code() != 130 || !told {
		t.Errorf("%v, told %v", err, told)
	}
}

func TestTheSecondSignalLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		signals <- stopSignals[0]
		release := make(chan struct{})
		err := underSignals(t.Context(), signals, func() { signals <- stopSignals[1] }, func(context.Context) error {
			<-release // work that does not heed its context
			return nil
		})
		if exitCode(err) != 143 || lastWords(err) != "" {
			t.Errorf("%v", err)
		}
		close(release)
	})
}
