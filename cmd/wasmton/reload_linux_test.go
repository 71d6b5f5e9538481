package main

import "testing"

// A terminal that was closed is told from a daemon that never had one: the first is
// a reason to stop on SIGHUP, the other to read the module again.
func TestATerminalThatIsGone(t *testing.T) {
	master, slave, err := openTerminal()
	must(t, err)
	defer func() { _ = slave.Close() }()
	t.Setenv("TERM", "xterm")
	c := newConsole(slave)
	if c.hungUp() {
		t.Error("the terminal is there")
	}
	must(t, master.Close())
	if !c.hungUp() {
		t.Error("the terminal is gone")
	}
	if newConsole(slave).hungUp() {
		t.Error("there was none when we began")
	}
}
