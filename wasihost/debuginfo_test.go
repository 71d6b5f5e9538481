package wasihost

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

// dwarfBytes puts DWARF together by hand: the tests need no compiler.
type dwarfBytes []byte

func (b *dwarfBytes) u8(v ...byte)  { *b = append(*b, v...) }
func (b *dwarfBytes) u16(v int)     { *b = binary.LittleEndian.AppendUint16(*b, uint16(v)) }
func (b *dwarfBytes) u32(v uint64)  { *b = binary.LittleEndian.AppendUint32(*b, uint32(v)) }
func (b *dwarfBytes) str(s string)  { *b = append(append(*b, s...), 0) }
func (b *dwarfBytes) uleb(v uint64) { *b = binary.AppendUvarint(*b, v) }
func (b *dwarfBytes) sized() []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(*b))), *b...)
}
func section(name string, body []byte) []byte {
	var content, s dwarfBytes
	content.uleb(uint64(len(name)))
	content = append(append(content, name...), body...)
	s.u8(0)
	s.uleb(uint64(len(content)))
	return append(s, content...)
}

// Kinds of entries in the test's DWARF.
const (
	abbrevUnit = iota + 1
	abbrevNamespace
	abbrevAbstract
	abbrevFunction
	abbrevInlined
)

// testGap is how many bytes behind the function belong to the unit and to no line.
const testGap = 20

// testDWARF describes a function main from begin to end, which has helper inlined
// from inlined to end: that is on line 7, and its call on line 42. Before them stands
// a function that the linker removed.
func testDWARF(begin, inlined, end uint64) []byte {
	abbrev := dwarfBytes{
		abbrevUnit, 0x11, 1, 0x1b, 0x08, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0, 0, // comp_dir, stmt_list, low_pc, high_pc
		abbrevNamespace, 0x39, 1, 0, 0,
		abbrevAbstract, 0x2e, 0, 0x03, 0x08, 0, 0, // name
		abbrevFunction, 0x2e, 1, 0x03, 0x08, 0x11, 0x01, 0x12, 0x06, 0, 0, // name, low_pc, high_pc
		abbrevInlined, 0x1d, 0, 0x31, 0x13, 0x11, 0x01, 0x12, 0x06, 0x58, 0x0b, 0x59, 0x0b, 0, 0, // origin, low_pc, high_pc, call_file, call_line
		0,
	}
	var info dwarfBytes
	info.u16(4)
	info.u32(0)
	info.u8(4, abbrevUnit)
	info.str("/home/me/guest")
	info.u32(0)
	info.u32(begin)
	info.u32(end - begin + testGap)
	info.u8(abbrevNamespace)
	origin := uint64(4 + len(info))
	info.u8(abbrevAbstract)
	info.str("helper")
	info.u8(abbrevFunction)
	info.str("removed")
	info.u32(0xffffffff)
	info.u32(10)
	info.u8(abbrevInlined) // does not count: what is around it does not have the address
	info.u32(origin)
	info.u32(0)
	info.u32(0xfffffff)
	info.u8(1, 13)
	info.u8(0, abbrevFunction)
	info.str("main")
	info.u32(begin)
	info.u32(end - begin)
	info.u8(abbrevInlined)
	info.u32(origin)
	info.u32(inlined)
	info.u32(end - inlined)
	info.u8(1, 42)
	info.u8(0, 0, 0)

	var header dwarfBytes
	header.u8(1, 1, 1, 0xfb, 14, 13) // instruction length, operations, is_stmt, line base and range, opcode base
	header.u8(0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1)
	header.str("/usr/lib")
	header.u8(0)
	for _, file := range []struct {
		name string
		dir  byte
	}{{"src/main.c", 0}, {"helper.h", 1}} {
		header.str(file.name)
		header.u8(file.dir, 0, 0)
	}
	header.u8(0)
	var lines dwarfBytes
	lines.u16(4)
	lines = append(lines, header.sized()...)
	at := func(addr uint64, file, line byte) {
		lines.u8(0, 5, 2) // set_address
		lines.u32(addr)
		lines.u8(4, file)         // set_file
		lines.u8(3, line&0x3f, 1) // advance_line, copy
	}
	last := func(addr uint64) {
		lines.u8(0, 5, 2)
		lines.u32(addr)
		lines.u8(0, 1, 1) // end_sequence
	}
	at(0xffffffff, 1, 5)
	last(0xffffffff)
	at(begin, 1, 40)
	lines.u8(0, 5, 2)
	lines.u32(inlined)
	lines.u8(4, 2, 3, 0x80-34, 1) // line 41 - 34
	last(end)
	at(end+testGap, 1, 50)
	last(end + testGap + 1)

	return slices.Concat(section(".debug_abbrev", abbrev), section(".debug_info", info.sized()), section(".debug_line", lines.sized()))
}

// traps is a processor that traps, first for "a" and further on for all else.
const traps = `(module $m
	(import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
	(memory (export "memory") 1)
	(func $work
		(drop (call $poll (i64.const 0) (i32.const 10)))
		(if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 97)) (then (unreachable)))
		(nop) (nop)
		(unreachable))
	(func (export "run") (call $work)))`

func trapOf(t *testing.T, m *Module, task string) *TrapError {
	t.Helper()
	_, err := drive(start(t, m, nil), task)
	var trap *TrapError
	if !errors.As(err, &trap) {
		t.Fatal(err)
	}
	return trap
}

func withSections(t testing.TB, text string, sections []byte) *Module {
	t.Helper()
	code, err := wt.Wat2Wasm(text)
	if err != nil {
		t.Fatal(err)
	}
	m, err := testEngine.Compile("guest.wasm", append(code, sections...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestABacktraceHasFilesAndLines(t *testing.T) {
	plain := withSections(t, traps, nil)
	first, second := trapOf(t, plain, "a").Backtrace[0].Offset, trapOf(t, plain, "b").Backtrace[0].Offset
	code, err := wt.Wat2Wasm(traps)
	if err != nil {
		t.Fatal(err)
	}
	base := uint64(outlineOf(code).codeStart)
	m := withSections(t, traps, testDWARF(uint64(first)-base, uint64(second)-base, uint64(second)-base+1))

	for _, c := range []struct {
		task string
		want []string
	}{
		{"a", []string{fmt.Sprintf("work @0x%x in src/main.c:41", first), "function 2 @"}},
		{"b", []string{"helper (inlined) in /usr/lib/helper.h:7", fmt.Sprintf("work @0x%x in src/main.c:42", second), "function 2 @"}},
	} {
		for range 2 { // the second time from memory
			trap := trapOf(t, m, c.task)
			frames := trap.Frames()
			if len(frames) != len(c.want) || len(trap.Backtrace) != 2 || trap.Backtrace[0].File != "" {
				t.Fatalf("%q: %v of %v", c.task, frames, trap.Backtrace)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(frames[i].String(), want) || !strings.Contains(trap.Error(), "\n    at "+want) {
					t.Errorf("%q, frame %d: %s, want %s", c.task, i, frames[i], want)
				}
			}
		}
	}
	gap := []Frame{{Func: "f", Offset: second + testGap/2}}
	if frames := m.debug.resolve(gap); !slices.Equal(frames, gap) {
		t.Errorf("where there is no line: %v", frames)
	}
	if trap := trapOf(t, plain, "a"); strings.Contains(trap.Error(), "main.c") {
		t.Errorf("without DWARF: %v", trap)
	}
	if n := len(m.debug.places); n != 4 {
		t.Errorf("%d places are remembered, want 4", n)
	}
}

// Nothing is read before somebody looks.
func TestLinesAreLookedUpLate(t *testing.T) {
	m := withSections(t, traps, testDWARF(1, 2, 3))
	trap := trapOf(t, m, "a")
	if m.debug.read {
		t.Error("the trap alone has read the DWARF")
	}
	_ = trap.Error()
	if !m.debug.read {
		t.Error("the message has not read the DWARF")
	}
}

// A time-out tells where the guest was too.
func TestATimeoutHasFilesAndLines(t *testing.T) {
	const loops = `(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))`
	code, err := wt.Wat2Wasm(loops)
	if err != nil {
		t.Fatal(err)
	}
	m := withSections(t, loops, testDWARF(0, uint64(len(code)), uint64(len(code)+1)))
	_, err = m.Run(context.Background(), &Config{TaskTimeout: 1}, Streams{})
	var late *TimeoutError
	if !errors.As(err, &late) || len(late.Frames()) != 1 || late.Frames()[0].Line != 41 || !strings.Contains(late.Error(), "src/main.c:41") {
		t.Errorf("%v", err)
	}
}

// DWARF is the guest's: whatever it says, the message still comes.
func FuzzDebugInfo(f *testing.F) {
	base := testDWARF(10, 20, 30)
	f.Add(base, uint64(15))
	f.Add(base, uint64(25))
	for i := 0; i < len(base); i += 7 {
		broken := slices.Clone(base)
		broken[i] ^= 0xff
		f.Add(broken, uint64(25))
	}
	f.Fuzz(func(t *testing.T, sections []byte, offset uint64) {
		module := append([]byte("\x00asm\x01\x00\x00\x00\x0a\x01\x00"), sections...)
		o := outlineOf(module)
		d := newDebugInfo(o)
		frames := d.resolve([]Frame{{Func: "f", Offset: uint(offset) + uint(o.codeStart)}, {Func: "g"}})
		if n := len(frames); n < 2 || n > 2*(maxInlined+1) || frames[n-1].Func != "g" && !frames[n-1].Inlined {
			t.Errorf("%v", frames)
		}
	})
}

// A tree of entries that is very deep is walked without recursion, which would end
// the process.
func TestVeryDeepDebugInfo(t *testing.T) {
	var info dwarfBytes
	info.u16(4)
	info.u32(0)
	info.u8(4, abbrevUnit)
	info.str("/")
	info.u32(0)
	info.u32(0)
	info.u32(1000)
	info.u8(abbrevFunction)
	info.str("elsewhere")
	info.u32(5000)
	info.u32(10)
	info = append(info, bytes.Repeat([]byte{abbrevNamespace}, 10_000_000)...)
	d := newDebugInfo(outlineOf(slices.Concat([]byte("\x00asm\x01\x00\x00\x00\x0a\x01\x00"),
		testDWARF(0, 500, 1000), section(".debug_info", info.sized()))))
	if frames := d.resolve([]Frame{{Offset: uint(d.codeStart) + 10}}); len(frames) != 1 || frames[0].Line != 41 {
		t.Errorf("%v", frames)
	}
}
