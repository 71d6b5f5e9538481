package wasihost

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// outline is what the library does not tell about a module, read from its binary
// form, which the library has found valid.
type outline struct {
	Memories int      `json:"memories"`         // memories of its own
	Tables   []uint64 `json:"tables,omitempty"` // least elements of each table of its own
	Start    bool     `json:"start"`            // has a start function
	Object   bool     `json:"object"`           // is an object file: the linker has not seen it yet

	codeStart int               // offset of the code section's contents; 0 without one
	debug     map[string][]byte // custom sections with DWARF, by name
}

// Sections of a module's binary form.
const (
	sectionCustom = 0
	sectionTable  = 4
	sectionMemory = 5
	sectionStart  = 8
	sectionCode   = 10
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
				o.Object = o.Object || slices.Contains([]string{"linking", "reloc.CODE"}, name)
				if strings.HasPrefix(name, ".debug_") {
					if o.debug == nil {
						o.debug = map[string][]byte{}
					}
					o.debug[name] = bytes.Clone(body[n:][length:]) // so that the code need not be kept
				}
			}
		case sectionTable:
			o.Tables = leastElements(body)
		case sectionMemory:
			if count, n := binary.Uvarint(body); n > 0 {
				o.Memories = int(min(count, 1000))
			}
		case sectionCode:
			o.codeStart = len(code) - len(rest) - len(body)
		case sectionStart:
			o.Start = true
		}
	}
	return o
}

// leastElements reads a table section: for each table a type, flags, the least
// elements, and the most where the flags say so.
func leastElements(body []byte) []uint64 {
	count, n := binary.Uvarint(body)
	if n <= 0 {
		return nil
	}
	body = body[n:]
	var least []uint64
	for range min(count, 1000) {
		if len(body) < 2 {
			return least
		}
		limits := 1 + int(body[1]&1)
		body = body[2:]
		for i := range limits {
			v, n := binary.Uvarint(body)
			if n <= 0 {
				return least
			}
			if body = body[n:]; i == 0 {
				least = append(least, v)
			}
		}
	}
	return least
}
