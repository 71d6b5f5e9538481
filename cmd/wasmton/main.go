// Command wasmton processes the records of a Kafka topic with a WebAssembly
// module: wasmton BOOTSTRAP TOPIC PROCESSOR.wasm.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/wasmton/wasmton/consumer"
)

func main() {
	// What a consumer allocates are fetched batches, which die young and in
	// numbers. A higher target costs some memory and was seen to add a quarter to
	// the throughput. Whoever sets GOGC knows better.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// app is what commands share: the process's streams and environment.
type app struct {
	stdin     io.Reader
	stdout    io.Writer
	console   *console // standard error
	lookupEnv func(string) (string, bool)
	log       *slog.Logger // nil until the flags are known
	json      bool         // the log's form, also that of the last message
}

// run is the whole program but for the process around it. It returns the exit
// code. After a second signal it returns while work still runs.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, console: newConsole(stderr), lookupEnv: os.LookupEnv}
	root := newRootCommand(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	a.console.close()
	a.report(err)
	return exitCode(err)
}

// startLog sets the logger up from the flags.
func (a *app) startLog(o *logOptions) {
	a.log = o.newLogger(a.console)
	a.json = o.logFormat == formatJSON
}

// report prints the last message of a run that failed.
func (a *app) report(err error) {
	message := lastWords(err)
	if message == "" {
		return
	}
	if a.json {
		var attrs []any
		if r := (*consumer.RecordError)(nil); errors.As(err, &r) {
			attrs = append(attrs, "topic", r.Topic, "partition", r.Partition, "offset", r.Offset)
			if r.Key != nil {
				attrs = append(attrs, "key_hash", r.KeyHash())
			}
		}
		a.log.Error(message, append(attrs, "exit_code", exitCode(err))...)
		return
	}
	var b []byte
	b = append(b, "wasmton: "...)
	for line := range strings.Lines(message) {
		b = appendClean(b, strings.TrimRight(line, "\n"))
		b = append(b, '\n')
	}
	if isUsage(err) {
		b = append(b, "Run \"wasmton --help\" for usage.\n"...)
	}
	// Nowhere is left to report an error of standard error.
	_, _ = fmt.Fprintf(a.console, "%s", b)
}
