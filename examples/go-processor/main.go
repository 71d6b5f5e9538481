//go:build wasip1

// A wasmton processor. A task is JSON such as {"message": "hello"}; its message
// becomes a line of the file /messages.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

type task struct {
	Message *string `json:"message"` // a pointer tells a missing message from an empty one
}

// run processes one task: 0 when it is done, anything else when it failed. What
// goes to standard error becomes a log line with the task's topic, partition and
// offset.
//
//go:wasmexport run
func run() int32 {
	data, ok := pollTask()
	if !ok {
		return 0
	}
	if err := appendMessage(data); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func appendMessage(data []byte) error {
	var t task
	if err := json.Unmarshal(data, &t); err != nil {
		return fmt.Errorf("bad task: %w", err)
	}
	if t.Message == nil {
		return errors.New(`bad task: no "message"`)
	}

	f, err := os.OpenFile("/messages", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("granted with --dir? %w", err)
	}
	// One write, since the other partitions' instances append to the same file: in
	// two, another's message could come between a message and its line end.
	_, err = f.WriteString(*t.Message + "\n")
	return errors.Join(err, f.Close())
}

// main is what the compiler asks for. It never runs: the host calls _initialize
// once, then run for each task.
func main() {}
