package main

import (
	"bytes"
	"errors"
	"testing"
)

func TestLogLinesStandAboveTheLiveLine(t *testing.T) {
	var out bytes.Buffer
	c := &console{w: &out, fd: 1 << 20}
	c.setLive("live 1")
	c.setLive("live 1") // nothing new, nothing written
	if n, err := c.Write([]byte("a record\n")); n != 9 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	c.setLive("live 2")
	c.close()
	c.setLive("too late")
	_, _ = c.Write([]byte("last words\n"))
	want := eraseLine + "live 1" +
		eraseLine + "a record\nlive 1" +
		eraseLine + "live 2" +
		eraseLine +
		"last words\n"
	if got := out.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWithoutATerminalThereIsNoLiveLine(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(&out)
	c.setLive("live")
	_, _ = c.Write([]byte("x\n"))
	c.close()
	if c.terminal() || out.String() != "x\n" {
		t.Errorf("%q", out.String())
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestAWriteErrorIsTold(t *testing.T) {
	c := &console{w: brokenWriter{}, fd: 1 << 20}
	for range 2 {
		if _, err := c.Write([]byte("x\n")); err == nil {
			t.Error("no error")
		}
		c.setLive("live")
	}
}
