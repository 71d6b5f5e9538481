package main

import (
	"log/slog"

	"github.com/spf13/pflag"

	"github.com/wasmton/wasmton/processor"
	"github.com/wasmton/wasmton/wasihost"
)

func addTraceFlag(fs *pflag.FlagSet, trace *bool) {
	fs.BoolVar(trace, "trace-host-calls", false, "log each call that the module makes to its host, with arguments, result and time; shows what is in its files and messages, and is slow")
}

// trace is nil unless calls are to be traced: tracing costs nothing then.
func (s *settings) trace(log *slog.Logger) func(*processor.Record, *wasihost.HostCall) {
	if !s.traceHostCalls {
		return nil
	}
	return func(r *processor.Record, c *wasihost.HostCall) { logCall(log, r, c) }
}

// logCall logs a call; r is the record that was at work, if any.
func logCall(log *slog.Logger, r *processor.Record, c *wasihost.HostCall) {
	if r != nil {
		log = log.With("topic", r.Topic, "partition", r.Partition, "offset", r.Offset)
	}
	log.Info(c.String(), "stream", "host", "took", c.Took)
}
