package wasihost

import (
	"errors"
	"runtime"
	"sync"
)

// ErrClosed is what Instantiate returns for a module that is closed.
var ErrClosed = errors.New("the module is closed")

// Close frees the compiled code as soon as no instance needs it: those that live go
// on, and no more can be made. It may be called twice, and while other methods run.
//
// Without it the code is freed when the collector finds the module, which may be
// long after: it sees a small Go object, not the megabytes behind it.
func (m *Module) Close() {
	if m.uses.end() {
		m.free()
	}
}

func (m *Module) free() {
	runtime.SetFinalizer(m.module, nil)
	deleteModule(pointer(m.module))
}

// uses counts who works with compiled code that may be closed meanwhile. The zero
// value is in use by nobody, and open.
type uses struct {
	mu     sync.Mutex
	n      int
	closed bool
}

// begin reports false where it is closed. Otherwise done must follow.
func (u *uses) begin() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	u.n++
	return true
}

// done reports whether the code is to be freed: it was the last use after end.
func (u *uses) done() (last bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n--
	return u.closed && u.n == 0
}

// end lets nobody begin from now on, and reports whether the code is to be freed
// at once.
func (u *uses) end() (last bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	first := !u.closed
	u.closed = true
	return first && u.n == 0
}
