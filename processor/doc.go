// Package processor is the contract between a consumer, which has records, and
// whatever processes them: a Go function, a WebAssembly module, the next thing.
//
// A [Processor] gets a batch of records of one partition, in order, and says
// what became of each. It answers by returning: there is no callback to keep
// and nothing to complete later. A [Factory] makes one Processor for each lane,
// and a lane never calls its Processor from two goroutines at once, so a
// Processor needs no locks for what it owns.
//
// The smallest use is a [Func]:
//
//	var print processor.Func = func(ctx context.Context, r *processor.Record) error {
//		fmt.Printf("%s = %s\n", r.Key, r.Value)
//		return nil
//	}
//
// The package imports the standard library only; both arms of wasmton, the
// consumer and the Wasm host, meet here and nowhere else. Package processortest
// has the suite that each implementation passes.
package processor
