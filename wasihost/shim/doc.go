// Package shim generates the WebAssembly that stands between a guest and the
// host, so that the guest's frequent calls never leave WebAssembly.
//
// The shim has two halves. Front is instantiated before the guest and satisfies
// those of its imports that the host answers or guards: each is a trampoline
// through a table. Back is instantiated after the guest, whose memory and run it
// imports; it fills the table, owns the mailbox, and runs batches of tasks.
//
// Back exports the guest's memory under the name "memory": native WASI functions
// find memory through the instance that calls them, so a guard in back can hand a
// call on.
//
// The bodies are in back.wat and calls.wat, one function each; command.wat has those
// that are different for a guest that is a program. [Generate] puts together what
// one guest needs: less to compile and, more important, less to
// link for each instance.
package shim
