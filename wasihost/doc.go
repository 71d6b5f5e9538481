// Package wasihost runs WebAssembly guests: it compiles modules, links them to
// the host through a shim that is itself Wasm, drives batches of tasks through
// an instance, and contains what a guest may do. It is the only package that
// imports wasmtime, and knows neither Kafka nor records: it speaks of modules,
// instances, tasks and outcomes.
//
// One [Engine] serves a process. [Engine.Compile] gives a [Module], which checks
// the guest against the contract; [Module.Instantiate] gives an [Instance] with
// a store of its own; [Instance.Drive] runs tasks. An Instance serves one
// goroutine at a time and must be closed. After a trap or an exit it is dead:
// close it and make another.
package wasihost
