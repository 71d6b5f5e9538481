package wasihost

import (
	"encoding/binary"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// mailbox is the memory that host and shim share, laid out as package shim says.
// It is native memory: it goes with its store, and moves never, since WebAssembly
// memories are reserved whole.
type mailbox []byte

func (b mailbox) word(at uint32) uint32       { return binary.LittleEndian.Uint32(b[at:]) }
func (b mailbox) long(at uint32) uint64       { return binary.LittleEndian.Uint64(b[at:]) }
func (b mailbox) setWord(at uint32, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }

func (b mailbox) setHalf(at uint32, v uint16) { binary.LittleEndian.PutUint16(b[at:], v) }
func (b mailbox) setLong(at uint32, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }

func (b mailbox) cursor() int { return int(b.word(shim.Cursor)) }
func (b mailbox) yield()      { b.setWord(shim.Yield, 1) }

// batchBytes bounds the tasks of one crossing together, heads included, so that an
// instance holds little memory; a single task may be larger. maxBatch bounds their
// number. A longer batch takes several crossings, each of which costs as much as
// some tens of tasks.
const (
	batchBytes = 32 << 10
	maxBatch   = 1024
)

// room is the bytes that a task of n bytes takes.
func room(n int) int { return shim.TaskHead + (n+7)&^7 }

// lay lays down as many tasks as one crossing takes, at least one, and returns how
// many. The mailbox must have room for the first.
func (b mailbox) lay(tasks [][]byte) int {
	at, n := shim.Tasks, 0
	for _, task := range tasks[:min(len(tasks), maxBatch)] {
		if n > 0 && at+room(len(task)) > shim.Tasks+batchBytes {
			break
		}
		binary.LittleEndian.PutUint32(b[at:], uint32(len(task)))
		copy(b[at+shim.TaskHead:], task)
		at += room(len(task))
		n++
	}
	b.setWord(shim.Cursor, 0)
	b.setWord(shim.Count, uint32(n))
	b.setWord(shim.Next, shim.Tasks)
	return n
}

// addDescriptor puts a descriptor in the table of those that are open.
func (b mailbox) addDescriptor(fd, flags uint32) {
	n := b.word(shim.FDCount)
	b.setWord(shim.FDTable+n*shim.FDEntry, fd)
	b.setWord(shim.FDTable+n*shim.FDEntry+4, flags)
	b.setWord(shim.FDCount, n+1)
}

// isOpen reports whether the guest has the descriptor open.
func (b mailbox) isOpen(fd uint32) bool {
	_, open := b.descriptor(fd)
	return open
}

// descriptor returns the flags of a descriptor, and whether the guest has it open.
func (b mailbox) descriptor(fd uint32) (flags uint32, open bool) {
	for i := range b.word(shim.FDCount) {
		if at := shim.FDTable + i*shim.FDEntry; b.word(at) == fd {
			return b.word(at + 4), true
		}
	}
	return 0, false
}
