// Package e2e tests the wasmton binary from outside: real processes, real guests
// built from source, a real Apache Kafka. Its tests have the build tag e2e.
//
// It takes what `make build guests` leaves in bin and build/guests; WASMTON_BIN
// names another binary. `make e2e` does all of it.
package e2e
