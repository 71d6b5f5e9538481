package wasihost

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	wt "github.com/bytecodealliance/wasmtime-go/v14"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// Engine compiles modules and keeps time for all instances of a process. It is
// safe for concurrent use.
type Engine struct {
	cfg         EngineConfig
	features    []string // of the CPU, which compiled code may use
	engine      *wt.Engine
	linker      *wt.Linker
	clock       *clock
	interrupted atomic.Bool
	interrupt   chan struct{} // closed by Interrupt
	closeOnce   sync.Once

	mu       sync.Mutex
	variants map[string]*variant // guarded by mu
}

// variant is a shim, compiled.
type variant struct {
	front, back *wt.Module
	sources     sources // of back's imports
}

// NewEngine makes the engine. A process makes one: compiled code is shared within
// an engine only, and each has a goroutine that keeps time while guests run.
func NewEngine() (*Engine, error) { return NewEngineWith(EngineConfig{}) }

// advance ends the epoch.
func (e *Engine) advance() { advanceEpoch(pointer(e.engine)) }

// newEngine makes an engine whose clock stands still.
func newEngine(cfg EngineConfig) (*Engine, error) {
	e := &Engine{
		cfg:       cfg,
		clock:     newClock(),
		interrupt: make(chan struct{}),
		variants:  map[string]*variant{},
	}
	var err error
	if e.engine, e.features, err = e.cfg.library(); err != nil {
		return nil, err
	}
	if e.linker, err = newLinker(e.engine); err != nil {
		return nil, fmt.Errorf("wasm engine: %w", err)
	}
	return e, nil
}

// Interrupt cuts short whatever runs in any instance of the engine, within
// milliseconds; those Drives return ErrInterrupted, and so do all later ones.
func (e *Engine) Interrupt() {
	if e.interrupted.CompareAndSwap(false, true) {
		close(e.interrupt)
	}
}

// Close frees the engine. All instances must have been closed. It may be called
// twice.
func (e *Engine) Close() {
	e.closeOnce.Do(func() {
		e.Interrupt()
		e.clock.stop()
	})
}

// variant returns the shim for the calls, compiling it the first time.
func (e *Engine) variant(md mode, calls []shim.Func, runResult bool) (*variant, error) {
	key := fmt.Sprint(md, calls, runResult)
	e.mu.Lock()
	defer e.mu.Unlock()
	if v := e.variants[key]; v != nil {
		return v, nil
	}
	code, err := shim.Generate(shim.Variant{
		Calls: calls, RunResult: runResult, Command: md.command, Traced: md.traced,
		Native: nativeType, Host: hostType,
	})
	if err != nil {
		return nil, err
	}
	v := &variant{}
	v.sources.add(fromGuest, "memory")
	if !md.command {
		v.sources.add(fromGuest, "run")
	}
	v.sources.addFront(shim.FrontTable)
	for _, name := range code.Native {
		v.sources.add(fromWASI, name)
	}
	for _, name := range code.Host {
		v.sources.add(fromHost, name)
	}
	var frontErr, backErr error
	v.front, frontErr = e.compileText(shim.FrontName, code.Front)
	v.back, backErr = e.compileText(shim.BackName, code.Back)
	if err := errors.Join(frontErr, backErr); err != nil {
		return nil, fmt.Errorf("the shim does not compile: %w", err)
	}
	e.variants[key] = v
	return v, nil
}

// compileText compiles a half of the shim. A cache knows it by its text, so that the
// text need not be translated when the code is there.
func (e *Engine) compileText(name, text string) (*wt.Module, error) {
	sum := sha256.Sum256([]byte(text))
	about := e.about()
	about.Module, about.Digest, about.Size = name, sum[:], len(text)
	if code := e.cfg.Cache.load(e, &about); code != nil {
		return code, nil
	}
	binary, err := wt.Wat2Wasm(text)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	code, err := wt.NewModule(e.engine, binary)
	if err != nil {
		return nil, err
	}
	about.Compile = time.Since(begun)
	e.cfg.Cache.store(code, &about)
	return code, nil
}
