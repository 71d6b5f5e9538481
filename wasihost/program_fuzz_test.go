package wasihost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// fuzzProgram makes a valid guest of any bytes: each chooses an instruction that the
// operands on the stack allow. Bytes of a module itself, changed here and there, are
// seldom valid, and never get to the compiler.
type fuzzProgram struct {
	script []byte
	text   strings.Builder
	stack  []byte  // types: i, I, f, F
	blocks []block // open ones
	n      int     // instructions
}

// block is a label that may be branched to, and the height of the stack where it
// began.
type block struct {
	height int
	loop   bool
}

// instruction takes operands of some types, the last on top, and leaves others.
// IMM stands for a number.
type instruction struct{ text, takes, gives string }

var instructions = func() []instruction {
	list := []instruction{
		{"drop", "i", ""}, {"drop", "I", ""}, {"drop", "f", ""}, {"drop", "F", ""},
		{"local.set $i", "i", ""}, {"local.get $i", "", "i"}, {"local.tee $i", "i", "i"},
		{"local.set $I", "I", ""}, {"local.get $I", "", "I"}, {"local.set $F", "F", ""}, {"local.get $F", "", "F"},
		{"global.set $g", "i", ""}, {"global.get $g", "", "i"},
		{"select", "iii", "i"}, {"select", "IIi", "I"},
		{"i32.load offset=IMM", "i", "i"}, {"i64.load offset=IMM", "i", "I"}, {"f64.load", "i", "F"}, {"i32.load8_s", "i", "i"},
		{"i32.store offset=IMM", "ii", ""}, {"i64.store offset=IMM", "iI", ""}, {"f32.store", "if", ""}, {"i32.store8", "ii", ""},
		{"memory.size", "", "i"}, {"memory.grow", "i", "i"}, {"memory.copy", "iii", ""}, {"memory.fill", "iii", ""},
		{"memory.init $d", "iii", ""}, {"data.drop $d", "", ""},
		{"table.size $t", "", "i"}, {"ref.null func local.get $i table.grow $t", "", "i"}, {"table.get $t ref.is_null", "i", "i"},
		{"ref.func $run table.set $t", "i", ""}, {"table.copy $t $t", "iii", ""}, {"table.init $t $e", "iii", ""},
		{"call_indirect $t", "i", ""}, {"call_indirect $t (result i32)", "i", "i"}, {"call_indirect $t (param i64 i32) (result i32)", "Iii", "i"},
		{"call $run", "", ""}, {"call $poll_task", "Ii", "i"}, {"call $task_size", "", "i"}, {"call $fd_write", "iiii", "i"},
		{"call $fd_renumber", "ii", "i"}, {"call $path_open", "iiiiiIIii", "i"}, {"call $poll_oneoff", "iiii", "i"},
		{"call $random_get", "ii", "i"}, {"call $fd_read", "iiii", "i"}, {"call $proc_exit", "i", ""},
		{"i32x4.splat i64x2.extract_lane 1", "i", "I"}, {"f64x2.splat f64x2.sqrt f64x2.extract_lane 0", "F", "F"},
		{"i64x2.splat i64.const 7 i64x2.splat i64x2.mul i8x16.popcnt i64x2.extract_lane 0", "I", "I"},
		{"v128.load i64.const 3 i64x2.splat i8x16.swizzle i32x4.extract_lane 2", "i", "i"},
		{"i32.wrap_i64", "I", "i"}, {"i64.extend_i32_s", "i", "I"}, {"i32.trunc_f64_s", "F", "i"}, {"i64.trunc_sat_f64_u", "F", "I"},
		{"f64.convert_i64_u", "I", "F"}, {"f32.demote_f64", "F", "f"}, {"f64.promote_f32", "f", "F"},
		{"i64.reinterpret_f64", "F", "I"}, {"f64.reinterpret_i64", "I", "F"}, {"unreachable", "", ""}, {"nop", "", ""},
	}
	for op := range strings.FieldsSeq("add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr") {
		list = append(list, instruction{"i32." + op, "ii", "i"}, instruction{"i64." + op, "II", "I"})
	}
	for op := range strings.FieldsSeq("eq ne lt_s lt_u gt_s ge_u") {
		list = append(list, instruction{"i32." + op, "ii", "i"}, instruction{"i64." + op, "II", "i"})
	}
	for op := range strings.FieldsSeq("clz ctz popcnt extend8_s extend16_s") {
		list = append(list, instruction{"i32." + op, "i", "i"}, instruction{"i64." + op, "I", "I"})
	}
	for op := range strings.FieldsSeq("add sub mul div min max copysign") {
		list = append(list, instruction{"f64." + op, "FF", "F"}, instruction{"f32." + op, "ff", "f"})
	}
	return list
}()

// Bounds of a program: the stack that one instruction may see, the blocks that may be
// open, and the instructions in all.
const (
	fuzzStack  = 40
	maxBlocks  = 20
	maxProgram = 2000
)

func (p *fuzzProgram) next() byte {
	if len(p.script) == 0 {
		return 0
	}
	b := p.script[0]
	p.script = p.script[1:]
	return b
}

// number is one of the numbers that hurt most.
func (p *fuzzProgram) number() uint64 {
	list := []uint64{0, 1, 2, 8, 64, 255, 4096, 65532, 65535, 65536, 1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	b := p.next()
	if int(b) < len(list) {
		return list[b]
	}
	return uint64(b) * 17
}

func (p *fuzzProgram) push(kind byte) {
	n := p.number()
	switch kind {
	case 'i':
		fmt.Fprintf(&p.text, "i32.const %d\n", int32(n))
	case 'I':
		fmt.Fprintf(&p.text, "i64.const %d\n", int64(n))
	case 'f':
		fmt.Fprintf(&p.text, "f32.const %d\n", int32(n))
	case 'F':
		fmt.Fprintf(&p.text, "f64.const %d\n", int64(n))
	}
	p.stack = append(p.stack, kind)
}

// floor is the height of the stack that the innermost block may not go below.
func (p *fuzzProgram) floor() int {
	if len(p.blocks) == 0 {
		return 0
	}
	return p.blocks[len(p.blocks)-1].height
}

// drop takes values off until the stack has a height.
func (p *fuzzProgram) drop(height int) {
	for len(p.stack) > height {
		p.text.WriteString("drop\n")
		p.stack = p.stack[:len(p.stack)-1]
	}
}

// emit makes sure that the operands are there, and adds the instruction.
func (p *fuzzProgram) emit(in instruction) {
	have := p.stack[p.floor():]
	if !strings.HasSuffix(string(have), in.takes) {
		for _, kind := range []byte(in.takes) {
			p.push(kind)
		}
	}
	p.text.WriteString(strings.ReplaceAll(in.text, "IMM", fmt.Sprint(uint32(p.number()))) + "\n")
	p.stack = append(p.stack[:len(p.stack)-len(in.takes)], in.gives...)
}

func (p *fuzzProgram) step() {
	switch c := int(p.next()); {
	case c < 2 && len(p.blocks) < maxBlocks:
		word := []string{"block", "loop"}[c]
		p.text.WriteString(word + "\n")
		p.blocks = append(p.blocks, block{height: len(p.stack), loop: c == 1})
	case c == 2 && len(p.blocks) > 0:
		p.end()
	case c == 3 && len(p.blocks) > 0: // a branch out, or back
		p.emit(instruction{fmt.Sprintf("br_if %d", int(p.next())%len(p.blocks)), "i", ""})
	case c == 4:
		p.push("iIfF"[p.next()%4])
	case c == 5:
		p.push('i')
	default:
		p.emit(instructions[c%len(instructions)])
	}
	if len(p.stack)-p.floor() > fuzzStack {
		p.drop(p.floor())
	}
}

func (p *fuzzProgram) end() {
	p.drop(p.floor())
	p.text.WriteString("end\n")
	p.blocks = p.blocks[:len(p.blocks)-1]
}

// guest is the whole module.
func (p *fuzzProgram) guest() string {
	for ; len(p.script) > 0 && p.n < maxProgram; p.n++ {
		p.step()
	}
	for len(p.blocks) > 0 {
		p.end()
	}
	p.drop(0)
	var b strings.Builder
	b.WriteString("(module\n")
	for _, name := range []string{"poll_task", "task_size", "fd_write", "fd_read", "fd_renumber", "path_open", "poll_oneoff", "random_get", "proc_exit"} {
		for _, f := range importables {
			if f.name == name {
				fmt.Fprintf(&b, "(import %q %q (func $%s %s))\n", f.module, f.name, f.name, watType(f.typ.Params(), f.typ.Results()))
			}
		}
	}
	b.WriteString(`(memory (export "memory") 1)
(table $t 8 funcref)
(elem $e (table $t) (i32.const 0) func $run $task_size $poll_task)
(global $g (mut i32) (i32.const 0))
(data $d "file\00sub/inner\00../../etc/passwd")
(data (i32.const 0) "\20\00\00\00\08\00\00\00\40\00\00\00\ff\ff\ff\ff")
(data (i32.const 64) "file")
(func $run (export "run") (local $i i32) (local $I i64) (local $F f64)
`)
	b.WriteString(p.text.String())
	b.WriteString("))")
	return b.String()
}

// FuzzProgram compiles, links and runs valid guests that no person would write, in
// little memory and time.
func FuzzProgram(f *testing.F) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	f.Add(all)
	f.Add([]byte(""))
	f.Add([]byte{1, 20, 40, 3, 0})
	f.Add([]byte{0, 1, 0, 1, 0, 1, 5, 6, 30, 3, 2, 2, 31, 32, 33, 34, 35})
	for from := range 16 {
		f.Add(append([]byte{1, 0}, all[from*16:][:16]...))
	}
	dir := hostileTree(f)
	before := snapshot(f, dir)
	f.Fuzz(func(t *testing.T, script []byte) {
		text := (&fuzzProgram{script: script}).guest()
		m, err := testEngine.Compile("program.wat", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		cfg := &Config{
			MemoryLimit: 1 << 20, TaskTimeout: tick, Output: func(int, Stream, []byte) {},
			Dirs: []Dir{{Host: dir, Guest: "/", ReadOnly: true}},
		}
		in := start(t, m, cfg)
		n, err := drive(in, "one", "two", "three")
		var trap *TrapError
		var exit *ExitError
		var late *TimeoutError
		switch {
		case err == nil && n == 3:
		case n < 3 && !in.Alive() && (errors.As(err, &trap) || errors.As(err, &exit) || errors.As(err, &late)):
			if trap != nil && strings.Contains(trap.Reason, "panic in the host") {
				t.Errorf("%v\n%s", err, text)
			}
		default:
			t.Errorf("Drive = %d, %v\n%s", n, err, text)
		}
		if in.MemoryUse() > cfg.MemoryLimit {
			t.Errorf("%d bytes of memory\n%s", in.MemoryUse(), text)
		}
		in.Close()
		if after := snapshot(t, dir); after != before {
			t.Errorf("the read-only directory is\n%s and was\n%s\n%s", after, before, text)
		}
		again := start(t, compile(t, testEngine, pollingGuest), nil)
		if n, err := again.Drive(context.Background(), [][]byte{nil}); n != 1 || err != nil {
			t.Errorf("the next guest: %d, %v", n, err)
		}
	})
}
