package wasihost

import "encoding/binary"

// guestMemory is the memory of a guest during one host call. It is the only place
// where guest addresses become Go memory, and each access is checked. It must not
// outlive the call: the guest may grow its memory afterwards.
type guestMemory []byte

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
