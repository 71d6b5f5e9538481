package main

import (
	"bytes"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// console owns standard error. Log records are written through it, and the live
// line stands beneath them: a record takes the line away, is written, and the
// line is drawn again, all in one write, so that neither cuts into the other.
//
// It is safe for concurrent use; its lock guards the line and the order of
// writes.
type console struct {
	mu   sync.Mutex
	w    io.Writer
	fd   int // descriptor of the terminal, -1 where w is none
	live string
	shut bool // no live line any more: the last words are being said
	buf  bytes.Buffer
}

func newConsole(w io.Writer) *console {
	c := &console{w: w, fd: -1}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		c.fd = int(f.Fd())
	}
	return c
}

// isTerminal says whether a live line makes sense on f. A dumb terminal can't
// erase a line.
func isTerminal(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

func (c *console) terminal() bool { return c.fd >= 0 }

// width is the terminal's width in columns; 80 where it does not tell.
func (c *console) width() int {
	if w, _, err := term.GetSize(c.fd); err == nil && w > 0 {
		return w
	}
	return 80
}

// eraseLine moves to the first column and erases to the line's end.
const eraseLine = "\r\x1b[K"

// Write writes whole lines above the live line.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live == "" {
		return c.w.Write(p)
	}
	c.buf.Reset()
	c.buf.WriteString(eraseLine)
	c.buf.Write(p)
	c.buf.WriteString(c.live)
	if _, err := c.w.Write(c.buf.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// setLive replaces the live line; "" takes it away. Where there is no terminal
// it does nothing.
func (c *console) setLive(line string) {
	if !c.terminal() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if line == c.live || c.shut {
		return
	}
	c.live = line
	// An error here means that the terminal went away: nobody is left to tell.
	_, _ = io.WriteString(c.w, eraseLine+line)
}

// close takes the live line away for good; what still runs can't draw it again.
func (c *console) close() {
	c.setLive("")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
}
