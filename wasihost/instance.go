package wasihost

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	wt "github.com/bytecodealliance/wasmtime-go/v14"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// Instance is one guest with its own memory. It serves one goroutine at a time.
type Instance struct {
	module *Module
	plan   *plan
	engine *Engine
	cfg    Config
	number uint32 // in the registry

	store   *wt.Store
	context unsafe.Pointer // of the store
	memory  handle         // the guest's
	post    handle         // the mailbox as a memory
	box     mailbox        // and as bytes; nil until the shim's back is there
	drive   handle
	start   handle   // a command's _start
	streams *streams // a command's
	output  output
	trace   tracer
	dead    bool
	// outgrown is set for good when the guest's memory is past Config.MemoryMark.
	outgrown bool
	used     int // bytes of the mailbox that tasks have touched since it was trimmed

	// running is what the clock sees. The rest belongs to the goroutine that drives
	// the instance; epochEnded and host functions run on it too.
	running  atomic.Bool
	ctx      context.Context // of the crossing under way
	limit    uint64          // ticks a task
	deadline uint64          // of the crossing, in ticks of the engine's clock
	cutAt    uint64          // when a task is cut whose context has ended; 0 until then
	ticked   int             // cursor at the last tick; -1 before the first
	stop     error           // why the host ended the guest; nil where it did not
}

// Drive runs tasks in order and returns how many were done. With n == len(tasks)
// the error is nil. Otherwise task n is the one that the error is about, those
// after it have not run, and the error is one of *TrapError, *ExitError,
// *ResultError, *TimeoutError (that task failed), or ErrInterrupted (ctx ended or
// Engine.Interrupt was called: it was cut short or not begun), ErrOutgrown (it was
// not begun; see there). On an instance that is not alive the error is ErrDead, and
// it is another where the system has no memory for a large task.
//
// When ctx ends, a task that runs has 50 ms to finish, after which the instance is
// no longer alive; a guest that waits is woken at once.
//
// The tasks are copied. Drive allocates nothing as long as they succeed and the
// guest writes no output.
func (in *Instance) Drive(ctx context.Context, tasks [][]byte) (n int, err error) {
	if !in.Alive() {
		return 0, ErrDead
	}
	defer in.trim()
	for n < len(tasks) {
		if err := in.makeRoom(len(tasks[n])); err != nil {
			return n, err
		}
		laid := in.box.lay(tasks[n:])
		in.output.base = n
		for done := 0; done < laid; {
			if ctx.Err() != nil || in.engine.interrupted.Load() {
				return n + done, ErrInterrupted
			}
			next, err := in.cross(ctx)
			sound := next > done && next <= laid
			if err != nil {
				sound = next >= done && next < laid
			}
			if !sound {
				// Nothing that a guest does leads here; a mistake of ours must not
				// become a task that is taken for done, or a loop without end.
				in.dead = true
				next, err = done, in.trapped("the mailbox is damaged", outcome{})
			}
			done = next
			if err == nil && in.outgrown && n+done < len(tasks) {
				err = ErrOutgrown
			}
			if err != nil {
				return n + done, err
			}
		}
		n += laid
	}
	return n, nil
}

// cross lets the shim run the tasks that are laid down until the last, a yield or a
// failure, and returns how many of them are done by now.
func (in *Instance) cross(ctx context.Context) (done int, err error) {
	in.box.setWord(shim.Yield, 0)
	in.begin(ctx)
	o := call(in.context, in.drive)
	in.end()
	done = in.box.cursor()
	if !o.ok() {
		err = in.failure(o)
		o.free()
	} else {
		switch in.box.word(shim.Status) {
		case shim.StatusResult:
			err = &ResultError{Code: int32(in.box.word(shim.Value))}
		case shim.StatusGrown:
			in.outgrown = true
		}
	}
	if task, flushErr := in.flush(); flushErr != nil && task < done {
		// A task whose output could not be handed over counts as failed.
		in.dead = true
		return task, in.trapped(flushErr.Error(), outcome{})
	}
	return done, err
}

// flush hands over all output of the tasks that have ended. Where that fails it
// returns the index of the task, counted from the first that is laid down.
func (in *Instance) flush() (task int, err error) {
	if in.box.word(shim.OutputLen) == 0 && !in.output.pending {
		return 0, nil
	}
	if task, err = in.output.read(in.box); err == nil {
		task, err = in.output.end()
	}
	return task, err
}

// Alive reports whether Drive may be called again: no trap, exit or time-out yet,
// and not closed.
func (in *Instance) Alive() bool { return !in.dead && in.store != nil }

// setMark tells the shim of the mark, once the guest is as large as it starts.
func (in *Instance) setMark() {
	mark := in.cfg.MemoryMark
	if mark > 0 && mark < maxMemory && in.MemoryUse() <= mark {
		in.box.setWord(shim.Mark, uint32(mark/shim.PageSize))
	}
}

// Outgrown reports whether a Drive has seen the guest's memory past
// Config.MemoryMark. It costs nothing.
func (in *Instance) Outgrown() bool { return in.outgrown }

// MemoryUse returns the bytes of the guest's linear memory, 0 after Close.
func (in *Instance) MemoryUse() int64 {
	if in.store == nil || in.memory == (handle{}) {
		return 0
	}
	return memorySize(in.context, in.memory)
}

// Close frees the instance and its memory at once. It may be called twice.
func (in *Instance) Close() {
	if in == nil || in.store == nil {
		return
	}
	unregister(in)
	// The binding leaves stores to the collector, which sees a small Go object and
	// not the memory behind it: guests that trap in a loop would outrun it.
	runtime.SetFinalizer(in.store, nil)
	deleteStore(pointer(in.store))
	in.store, in.context, in.box = nil, nil, nil
}

// makeRoom grows the mailbox where a task needs it.
func (in *Instance) makeRoom(task int) error {
	need := shim.Tasks + room(task)
	in.used = max(in.used, need)
	if need <= len(in.box) {
		return nil
	}
	pages := uint64(need-len(in.box)+shim.PageSize-1) / shim.PageSize
	// The guest's limit counts each memory of the store: it is lifted for this one,
	// while the guest does not run.
	in.limitMemory(maxMemory)
	o := growMemory(in.context, in.post, pages)
	defer o.free()
	in.limitMemory(in.cfg.MemoryLimit)
	if !o.ok() {
		return fmt.Errorf("no room for a task of %d bytes: %s", task, firstLines(o.message(), 3))
	}
	in.box = view(in.context, in.post)
	return nil
}

// trim gives back the memory that a large task took, so that it is not held for
// the rest of the instance's life. The addresses stay.
func (in *Instance) trim() {
	if in.used > shim.PageSize {
		release(in.box[shim.PageSize:min(len(in.box), (in.used+shim.PageSize-1)&^(shim.PageSize-1))])
	}
	in.used = 0
}
