// bench measures the whole trip of a record, from a real Kafka topic through a
// Wasm guest to the committed offset, beside bare franz-go consumers on the same
// topic. README.md in this folder says what the figures mean.
//
//	bench -bootstrap 127.0.0.1:9092 -wasmton bin/wasmton -bare bin/bare
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/wasmton/wasmton/bench/internal/machine"
)

func main() {
	var b bench
	flag.StringVar(&b.bootstrap, "bootstrap", "", "host:port of a Kafka broker; comma-separated")
	flag.StringVar(&b.topic, "topic", "wasmton-bench", "topic to make where it is missing, and to fill")
	flag.Int64Var(&b.records, "records", 3_000_000, "records on the topic")
	flag.IntVar(&b.partitions, "partitions", 3, "partitions of the topic")
	flag.IntVar(&b.size, "size", 100, "bytes of a record's value")
	flag.IntVar(&b.keys, "keys", 10_000, "distinct keys")
	flag.IntVar(&b.runs, "runs", 5, "runs of each, in turn")
	flag.StringVar(&b.wasmton, "wasmton", "bin/wasmton", "the binary to measure")
	flag.StringVar(&b.bare, "bare", "bin/bare", "the binary to measure beside (bench/bare)")
	flag.StringVar(&b.guest, "guest", "bench/noop.wat", "the guest")
	only := flag.String("only", "", "names of contenders, comma-separated; default all")
	flag.DurationVar(&b.limit, "limit", 2*time.Minute, "time limit of one run")
	flag.Parse()
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.main(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) main(ctx context.Context) error {
	if b.bootstrap == "" {
		return fmt.Errorf("-bootstrap is missing; `make bench` starts a broker and fills it in")
	}
	if err := b.connect(); err != nil {
		return err
	}
	defer b.close()
	if err := b.fill(ctx); err != nil {
		return fmt.Errorf("filling topic %s: %w", b.topic, err)
	}
	fmt.Printf("%d records of %d bytes, %d keys, %d partitions; %s\n",
		b.records, b.size, b.keys, b.partitions, machine.Name())
	results, err := b.measure(ctx)
	if err != nil {
		return err
	}
	report(os.Stdout, results)
	return nil
}
