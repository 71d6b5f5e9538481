// Package wasihost runs WebAssembly guests: it compiles modules, links them to
// the host through a shim that is itself Wasm, drives batches of tasks through
// an instance, and contains what a guest may do. It is the only package that
// imports wasmtime, and knows neither Kafka nor records: it speaks of modules,
// instances, tasks and outcomes.
//
// One [Engine] serves a process. [Engine.Compile] gives a [Module], which checks
// the guest against the contract; [Module.Instantiate] gives an [Instance] with
// a store of its own; [Instance.Drive] runs tasks. An Instance serves one
// goroutine at a time and must be closed: the collector does not see it. After a
// trap, an exit or a time-out it is dead: close it and make another.
//
// # What holds
//
//   - A guest ends no more than its own task. Whatever it does, the process lives,
//     and the error says what happened and where.
//   - A task has the whole of its time limit, whoever ran before it in the batch,
//     and at most two ticks of 10 ms more.
//   - A guest reaches what Config grants, and nothing else. A read-only directory
//     cannot be changed through it by any call.
//   - An instance holds less than 64 KiB beside the guest's own memory, and costs
//     some tens of microseconds. It reserves 16 GiB of addresses, so a process has
//     room for about 8,000. One that waits in poll_oneoff holds an OS thread.
//
// # The trip of a task
//
// Drive lays tasks down in the mailbox, a memory that host and shim share, as many
// as fit in 32 KiB, and calls the shim's drive once: a crossing. The shim runs the
// guest task by task; what the guest polls and what it writes to its standard
// streams goes through the mailbox and not through Go. A tick makes the crossing end
// after the task that runs, so that neither a limit nor the end of a context waits
// for a batch.
package wasihost
