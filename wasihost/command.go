package wasihost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Streams are the standard streams of a command. Bytes go through as they are, at
// once and in the guest's order.
type Streams struct {
	// Stdin is read as far as the guest reads, and up to 64 KiB further where it
	// asks with poll_oneoff whether there is something. nil is empty.
	Stdin io.Reader
	// Stdout and Stderr get what the guest writes. nil discards.
	Stdout, Stderr io.Writer
}

// CheckCommand is Check for a module that is to be Run as a program: it must export
// memory and _start.
func (m *Module) CheckCommand() error {
	if len(m.commandProblems) > 0 {
		return &LinkError{Name: m.name, Problems: slices.Clone(m.commandProblems)}
	}
	if _, err := m.plan(mode{command: true}); err != nil {
		return err
	}
	return m.tryStart()
}

// examineCommand finds what stands between the module and being a command, beside
// its imports.
func (m *Module) examineCommand() {
	problem := func(format string, args ...any) {
		m.commandProblems = append(m.commandProblems, fmt.Sprintf(format, args...))
	}
	export := func(name string) *Symbol {
		if i := slices.IndexFunc(m.exports, func(s Symbol) bool { return s.Name == name }); i >= 0 {
			return &m.exports[i]
		}
		return nil
	}
	if m.outline.Object {
		problem("it is an object file: link it first, with wasm-ld or by the compiler without -c")
	}
	switch s := export("memory"); {
	case s == nil:
		problem(`it does not export its memory as "memory"`)
	case s.Kind != "memory":
		problem("export memory: it is a %s, and must be a memory", s.Kind)
	}
	switch s := export("_start"); {
	case s == nil && export("run") != nil:
		problem(`it exports "run" and not "_start": it is a processor, not a program`)
	case s == nil:
		problem(`it does not export "_start", which is where a program begins`)
	case s.Kind != "func" || s.Type != "()":
		problem("export _start: it must be a function of type (), and is a %s of type %s", s.Kind, s.Type)
	}
	if m.outline.Memories > 1 {
		problem("it has %d memories, and a guest may have one", m.outline.Memories)
	}
}

// Run runs the module as a program, from _start to its end, in an instance of its
// own, and returns the status that it exits with: 0 where _start returns. The error
// is a *LinkError where CheckCommand would give one, else one of *TrapError,
// *TimeoutError, or ErrInterrupted where ctx ended or the engine was interrupted; a
// program that waits for input is woken for that at once, and one that computes has
// 50 ms. There are no tasks: decaton.poll_task gives -1.
//
// Config.TaskTimeout bounds the whole run; here 0 means that nothing does.
// Config.Output is not used.
//
// A Read of std.Stdin that is under way when the program ends is given up, not
// ended, unless Stdin has a SetReadDeadline that works, as pipes have. A Write that
// blocks is waited for.
func (m *Module) Run(ctx context.Context, cfg *Config, std Streams) (status int32, err error) {
	if err := m.CheckCommand(); err != nil {
		return 0, err
	}
	if cfg == nil {
		cfg = &Config{}
	}
	if err := cfg.checkValues(); err != nil {
		return 0, fmt.Errorf("%s: %w", m.name, err)
	}
	in, err := m.instantiate(ctx, mode{command: true, traced: cfg.Trace != nil}, cfg, whole)
	defer func() { in.Close() }()
	if err != nil {
		return 0, err
	}
	if in.cfg.TaskTimeout = cfg.TaskTimeout; cfg.TaskTimeout == 0 {
		in.limit = math.MaxInt64 / uint64(tick)
	}
	in.streams = newStreams(std)
	defer in.streams.close()

	in.begin(ctx)
	o := call(in.context, in.start)
	in.end()
	if o.ok() {
		return 0, nil
	}
	defer o.free()
	err = in.failure(o)
	if exit, ok := errors.AsType[*ExitError](err); ok {
		return exit.Status, nil
	}
	return 0, err
}
