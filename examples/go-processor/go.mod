module github.com/wasmton/wasmton/examples/go-processor

go 1.24
