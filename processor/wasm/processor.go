// Package wasm makes a WebAssembly guest a processor: records become the tasks
// of contract "decaton" (ABI.md), and what happened to the tasks becomes outcomes.
package wasm

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/wasihost"
)

// Config configures a Module.
type Config struct {
	// Guest says what the guest may reach and use. Its Output is not used.
	Guest wasihost.Config
	// MaxInstances bounds the live instances of the module. Default 2,000.
	MaxInstances int
	// Output gets each line that the guest writes while it runs r, or with r nil
	// while it initialises. It is called from many lanes at once and keeps neither
	// argument. Default: a line of Logger at level info.
	Output  func(r *processor.Record, stream wasihost.Stream, line []byte)
	Logger  *slog.Logger          // default slog.Default()
	Metrics prometheus.Registerer // default none
}

// Module is a guest as a processor.Factory. It is safe for concurrent use.
type Module struct{}

// New checks m and cfg, makes a first instance to see that the guest starts, and
// returns the factory.
func New(ctx context.Context, m *wasihost.Module, cfg Config) (*Module, error) { panic("skeleton") }

// New makes the Processor of a lane; its instance is made when it is first needed.
func (m *Module) New(ctx context.Context, lane processor.Lane) (processor.Processor, error) {
	panic("skeleton")
}

// Close frees all instances. Every Processor must have been closed.
func (m *Module) Close() { panic("skeleton") }
