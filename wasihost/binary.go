package wasihost

import (
	"encoding/binary"
	"slices"
)

// outline is what the library does not tell about a module, read from its binary
// form, which the library has found valid.
type outline struct {
	memories int  // memories of its own
	start    bool // has a start function
	object   bool // is an object file: the linker has not seen it yet
}

// Sections of a module's binary form.
const (
	sectionCustom = 0
	sectionMemory = 5
	sectionStart  = 8
)

// outlineOf walks the sections. It stops at the first thing that makes no sense.
func outlineOf(code []byte) outline {
	var o outline
	for rest := code[min(len(code), 8):]; len(rest) > 0; {
		id := rest[0]
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return o
		}
		body := rest[1+n:][:size]
		rest = rest[1+n:][size:]
		switch id {
		case sectionCustom:
			if length, n := binary.Uvarint(body); n > 0 && length <= uint64(len(body)-n) {
				name := string(body[n:][:length])
				o.object = o.object || slices.Contains([]string{"linking", "reloc.CODE"}, name)
			}
		case sectionMemory:
			if count, n := binary.Uvarint(body); n > 0 {
				o.memories = int(min(count, 1000))
			}
		case sectionStart:
			o.start = true
		}
	}
	return o
}
