package wasihost

import (
	"encoding/binary"
	"unsafe"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

// guestMemory is the memory of a guest during one host call. It is the only place
// where guest addresses become Go memory, and each access is checked. It must not
// outlive the call: the guest may grow its memory afterwards.
type guestMemory []byte

// view is a memory as it is now.
func view(store wt.Storelike, m *wt.Memory) []byte {
	// Not Memory.UnsafeData, which panics for a memory of 4 GiB.
	return unsafe.Slice((*byte)(m.Data(store)), m.DataSize(store))
}

// span returns n bytes at an address, false where they are not all in memory.
func (m guestMemory) span(addr uint32, n uint64) ([]byte, bool) {
	if size := uint64(len(m)); uint64(addr) > size || n > size-uint64(addr) {
		return nil, false
	}
	return m[addr:][:n:n], true
}

// setWord writes 4 bytes, and reports whether they are in memory.
func (m guestMemory) setWord(addr, v uint32) bool {
	b, ok := m.span(addr, 4)
	if ok {
		binary.LittleEndian.PutUint32(b, v)
	}
	return ok
}
