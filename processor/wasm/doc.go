// Package wasm makes a WebAssembly guest a processor: records become the tasks
// of the guest contract that ABI.md describes, and what happened to the tasks
// becomes outcomes.
//
// A [Module] is a processor.Factory. Each Processor that it makes has a guest
// instance of its own, with its own memory, made when the first record comes. An
// instance that trapped, exited or ran out of time is thrown away with whatever
// state it had; the next record gets a new one. The number of live instances is
// bounded for the whole Module: at the bound, lanes take turns with them.
//
// The package needs wasihost and nothing of Kafka: a guest can be run, and
// tested, without a broker.
package wasm
