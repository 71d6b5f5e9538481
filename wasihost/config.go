package wasihost

import "time"

// Defaults of Config.
const (
	DefaultMemoryLimit = 256 << 20
	DefaultTaskTimeout = 30 * time.Second
)

// Config says what a guest may reach and how much it may use. The zero value
// grants nothing: no arguments, no environment, no directories; standard input
// is empty.
type Config struct {
	// Args are the guest's program arguments. The first is the program's name.
	Args []string
	// Env is the guest's whole environment, each element NAME=value.
	Env []string
	// Dirs are the directories that the guest sees.
	Dirs []Dir
	// MemoryLimit bounds the guest's linear memory in bytes. 0 means
	// DefaultMemoryLimit; at most 4 GiB. A refused growth is told to the guest
	// as -1 from memory.grow.
	MemoryLimit int64
	// TaskTimeout bounds the run of one task, and _initialize. 0 means
	// DefaultTaskTimeout; less than a tick (10 ms) is rounded up to one.
	TaskTimeout time.Duration
	// Output gets what the guest writes to standard output and error, a line at a
	// time without its line end, on the goroutine that drives the instance. task
	// is the index of the task in the batch of the current Drive, or -1 during
	// instantiation. line is valid during the call only. nil discards.
	Output func(task int, stream Stream, line []byte)
}

// Dir grants a directory.
type Dir struct {
	Host     string // path on the host; must be a directory
	Guest    string // absolute path under which the guest sees it
	ReadOnly bool   // every way to change something below it fails with EROFS
}

// Stream is one of the guest's standard streams.
type Stream uint8

// The streams that a guest writes to; the values are their descriptors.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// String returns "stdout" or "stderr".
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}
