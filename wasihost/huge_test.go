package wasihost

import (
	"errors"
	"strings"
	"testing"
)

// TestHugeModules compiles modules that have too much of something for a file of
// testdata/hostile. Each must be refused with a reason, or work.
func TestHugeModules(t *testing.T) {
	many := func(n int, text string) string { return strings.Repeat(text, n) }
	module := func(fields, run string) string {
		return `(module (import "decaton" "poll_task" (func (param i64 i32) (result i32)))
			(memory (export "memory") 1) ` + fields + ` (func (export "run") (local $i i32) ` + run + `))`
	}
	for _, c := range []struct {
		name, text string
		refused    string // in part; "" where it must work
	}{
		{"locals", module("(func (local "+strings.Repeat("i32 ", 100_000)+"))", ""), "locals"},
		{"parameters", module("(func (param "+strings.Repeat("i32 ", 2_000)+"))", ""), "param"},
		{"results", module("(func (result "+strings.Repeat("i32 ", 2_000)+") unreachable)", ""), "return"},
		{"functions", module(many(10_000, "(func)"), ""), ""},
		{"globals", module(many(100_000, "(global i32 (i32.const 0))"), ""), ""},
		{"types", module(many(50_000, "(type (func (param i32 i64 f32)))"), ""), ""},
		{"blocks in blocks", module("", many(50_000, "block ")+many(50_000, "end ")), ""},
		// The compiler takes time in the square of these: 20,000 take a minute.
		{"loops in loops", module("", many(1_000, "loop ")+many(1_000, "end ")), ""},
		{"conditions in conditions", module("", many(5_000, "i32.const 1 if ")+many(5_000, "end ")), ""},
		{"a sum of many terms", module("", many(50_000, "local.get $i ")+many(49_999, "i32.add ")+"drop"), ""},
		{"a chain of operations", module("", "local.get $i "+many(100_000, "i32.popcnt ")+"local.set $i"), ""},
		{"a branch to many places", module("", "block i32.const 0 br_table "+many(100_000, "0 ")+" end"), ""},
		{"parentheses in parentheses", module("", strings.Repeat("(drop ", 100_000)+strings.Repeat(")", 100_000)), "type mismatch"},
		{"comments in comments", strings.Repeat("(; ", 100_000) + "(module", "unterminated block comment"},
		{"a data segment of megabytes", module(`(data "`+strings.Repeat("x", 8<<20)+`")`, ""), ""},
		{"a function of a megabyte", module("", many(1<<20, "nop ")), ""},
		{"a long name", module(`(export "`+strings.Repeat("n", 100_001)+`" (memory 0))`, ""), "string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := testEngine.Compile("huge.wat", []byte(c.text))
			var format *FormatError
			switch {
			case c.refused != "":
				if !errors.As(err, &format) || !strings.Contains(format.Reason, c.refused) || len(format.Reason) > 2100 {
					t.Errorf("%.300v; want %q", err, c.refused)
				}
				return
			case err != nil:
				t.Fatalf("%.300v", err)
			}
			if n, err := drive(start(t, m, nil), "a task", "another"); n != 2 || err != nil {
				t.Errorf("Drive = %d, %v", n, err)
			}
		})
	}
}
