package wasihost

import (
	"errors"
	"io"
	"time"
)

// input is a command's standard input. A Read can't be ended, so it is a goroutine
// of its own that reads, and only when it is asked to: what the program leaves is
// still there for whoever reads next.
type input struct {
	from    io.Reader
	asks    chan int    // nil before the first
	answers chan answer // has room for one
	asked   bool        // an answer is owed
	buf     []byte      // the reader's while asked, ours otherwise
	held    []byte      // read and not taken, a part of buf
	err     error       // what follows held; nil where nothing is known
}

type answer struct {
	n   int
	err error
}

// inputMoment is how long something that could be read gets to be noticed by a
// program that does not wait.
const inputMoment = time.Millisecond

// ready reports whether a read would give something, or the end, at once.
func (r *input) ready() bool { return len(r.held) > 0 || r.err != nil }

// ask has up to n bytes read, unless something is there or was asked for already.
// got must be given the answer.
func (r *input) ask(n int) {
	if r.ready() || r.asked {
		return
	}
	if r.asks == nil {
		r.asks, r.answers = make(chan int), make(chan answer, 1)
		go r.read(r.asks)
	}
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	r.asked = true
	r.asks <- n
}

// read reads until asks is closed.
func (r *input) read(asks <-chan int) {
	for n := range asks {
		var a answer
		for range 100 { // as often as bufio does
			if a.n, a.err = readFrom(r.from, r.buf[:n]); a.n > 0 || a.err != nil {
				break
			}
		}
		if a.n == 0 && a.err == nil {
			a.err = io.ErrNoProgress
		}
		r.answers <- a
	}
}

// readFrom turns a panic into an error: it would be one of this goroutine's.
func readFrom(from io.Reader, b []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = 0, &panicError{value: v}
		}
	}()
	return from.Read(b)
}

// got takes an answer.
func (r *input) got(a answer) {
	r.asked = false
	r.held, r.err = r.buf[:a.n], a.err
}

// take moves what is held to p.
func (r *input) take(p []byte) int {
	n := copy(p, r.held)
	r.held = r.held[n:]
	return n
}

// end takes what follows the last byte: 0 for the end of the input, else an errno.
// After an end there may be more, as on a terminal.
func (r *input) end() int32 {
	err := r.err
	r.err = nil
	if errors.Is(err, io.EOF) {
		return errnoSuccess
	}
	return errnoOf(err)
}

// state is what poll_oneoff tells.
func (r *input) state() (time.Duration, event) {
	switch {
	case len(r.held) > 0:
		return 0, event{bytes: uint64(len(r.held))}
	case errors.Is(r.err, io.EOF):
		return 0, event{flags: fdHangup}
	case r.err != nil:
		return 0, event{}
	}
	return forever, event{}
}

// close ends the goroutine, as soon as its Read returns.
func (r *input) close() {
	if r.asks == nil {
		return
	}
	close(r.asks)
	from, ok := r.from.(interface{ SetReadDeadline(time.Time) error })
	if r.asked && ok && from.SetReadDeadline(time.Unix(1, 0)) == nil {
		<-r.answers
		_ = from.SetReadDeadline(time.Time{}) // it worked a moment ago
	}
}
