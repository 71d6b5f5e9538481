package wasihost

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

// libraryVersion is that of the engine. The library refuses code that another
// version compiled; with our own note of it we can say so in plain words.
const libraryVersion = "14.0.0"

// EngineConfig configures an Engine. The zero value is what NewEngine takes.
type EngineConfig struct {
	// CPU is the level that code is compiled for, one of CPULevels; default
	// CPUNative. It concerns what this engine compiles: code for a lower level that
	// was compiled before is run all the same.
	CPU string
	// StackLimit is what a guest may use of its thread's stack, in bytes, from
	// 64 KiB to 4 MiB and at most half of what a thread has. Default 1 MiB, or
	// that half where it is less. Code beyond the limit traps. One limit holds for
	// all guests of an engine.
	StackLimit int64
	// Cache keeps compiled code from one process to the next. Default: none.
	Cache *Cache
}

// NewEngineWith is NewEngine with a configuration. The error says what of it cannot
// be had on this machine.
func NewEngineWith(cfg EngineConfig) (*Engine, error) {
	e, err := newEngine(cfg)
	if err != nil {
		return nil, err
	}
	e.clock.start(e.advance, func() bool { return anyRunning(e) })
	return e, nil
}

// codeSettings are what compiled code depends on. The text of all of them is kept
// with the code, so code that was compiled under others is found out.
var codeSettings = []struct {
	name  string
	value bool
	set   func(*wt.Config, bool)
}{
	{"epoch_interruption", true, (*wt.Config).SetEpochInterruption},
	{"multi_memory", true, (*wt.Config).SetWasmMultiMemory}, // for the shim
	{"threads", false, (*wt.Config).SetWasmThreads},
	{"memory64", false, (*wt.Config).SetWasmMemory64},
}

func settingsText() string {
	words := make([]string, len(codeSettings))
	for i, s := range codeSettings {
		words[i] = fmt.Sprintf("%s=%t", s.name, s.value)
	}
	return strings.Join(words, " ")
}

// library makes the library's engine, and returns the CPU features that the code
// which it compiles may use. It fills in what is not set.
func (cfg *EngineConfig) library() (*wt.Engine, []string, error) {
	stack, stackErr := stackLimit(cfg.StackLimit)
	features, native, cpuErr := cpuLevel(cfg.CPU)
	if err := errors.Join(stackErr, cpuErr); err != nil {
		return nil, nil, err
	}
	cfg.StackLimit = stack
	if cfg.CPU == "" {
		cfg.CPU = CPUNative
	}
	c := wt.NewConfig()
	for _, s := range codeSettings {
		s.set(c, s.value)
	}
	c.SetMaxWasmStack(int(stack))
	if !native {
		// Naming the target keeps the library from using what this CPU has beyond it.
		if err := c.SetTarget(architectures[runtime.GOARCH].triple[runtime.GOOS]); err != nil {
			return nil, nil, fmt.Errorf("CPU level %s: %w", cfg.CPU, err)
		}
		for _, f := range features {
			c.EnableCraneliftFlag(f)
		}
	}
	return wt.NewEngineWithConfig(c), features, nil
}
