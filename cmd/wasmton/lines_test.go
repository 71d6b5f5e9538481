package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// allLines reads r to its end.
func allLines(r io.Reader, limit int) (lines []string, err error) {
	for l := range readLines(context.Background(), r, limit) {
		if l.err != nil {
			return lines, l.err
		}
		lines = append(lines, string(l.text))
	}
	return lines, nil
}

func TestEachLineIsATask(t *testing.T) {
	for input, want := range map[string][]string{
		"":            nil,
		"a":           {"a"},
		"a\n":         {"a"},
		"a\nb":        {"a", "b"},
		"a\r\nb\r\n":  {"a", "b"},
		"\n":          {""},
		"a\n\nb\n":    {"a", "", "b"},
		"\r\n":        {""},
		"a\rb\n":      {"a\rb"},
		"a\r\r\n":     {"a\r"},
		"last\r":      {"last\r"},
		"\x00\xff\n":  {"\x00\xff"},
		" spaces \n":  {" spaces "},
		"12345\nok\n": {"12345", "ok"},
	} {
		for _, r := range []io.Reader{strings.NewReader(input), iotest.OneByteReader(strings.NewReader(input))} {
			if got, err := allLines(r, 5+len(input)); err != nil || !slices.Equal(got, want) {
				t.Errorf("%q: %q, %v, want %q", input, got, err, want)
			}
		}
	}
}

func TestALineLongerThanATaskIsRefused(t *testing.T) {
	for _, input := range []string{"ok\n123456\n", "ok\n123456", "ok\n123456\r\n", "ok\n" + strings.Repeat("x", 200_000)} {
		lines, err := allLines(strings.NewReader(input), 5)
		if len(lines) != 1 || err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%.20q: %q, %v", input, lines, err)
		}
	}
	for _, input := range []string{"12345\n", "12345\r\n", "12345"} {
		if lines, err := allLines(strings.NewReader(input), 5); err != nil || len(lines) != 1 || lines[0] != "12345" {
			t.Errorf("%q is at the limit: %q, %v", input, lines, err)
		}
	}
}

func TestALongLineIsOneTask(t *testing.T) {
	long := strings.Repeat("0123456789", 300_000) // many buffers
	lines, err := allLines(strings.NewReader(long+"\r\nnext\n"), maxTask)
	if err != nil || len(lines) != 2 || lines[0] != long || lines[1] != "next" {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}

func TestAReadErrorIsToldWithItsLine(t *testing.T) {
	broken := errors.New("broken pipe")
	lines, err := allLines(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 100)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 2") || !slices.Equal(lines, []string{"a"}) {
		t.Errorf("%q, %v", lines, err)
	}
}

func FuzzReadLine(f *testing.F) {
	for _, seed := range []string{"", "a\n", "a\r\n\r\n", "\r", "\n\r", "x\x00\ny"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		// The twin: split, drop what follows a last line end, drop one \r before each.
		want := bytes.Split(input, []byte("\n"))
		last := len(want) - 1
		for i := range last {
			want[i] = bytes.TrimSuffix(want[i], []byte("\r"))
		}
		if len(want[last]) == 0 {
			want = want[:last]
		}
		in := bufio.NewReaderSize(bytes.NewReader(input), 16) // lines longer than the buffer
		for i := 0; ; i++ {
			line, err := readLine(in, len(input)+1)
			if err == io.EOF {
				if i != len(want) {
					t.Fatalf("%d lines, want %d", i, len(want))
				}
				return
			}
			if err != nil || i >= len(want) || !bytes.Equal(line, want[i]) {
				t.Fatalf("line %d: %q, %v, of %q", i, line, err, want)
			}
		}
	})
}

func TestLineRecord(t *testing.T) {
	for _, c := range []struct{ line, separator, key, value string }{
		{"k:v", "", "-", "k:v"},
		{"k:v", ":", "k", "v"},
		{"k:v:w", ":", "k", "v:w"},
		{"k::v", "::", "k", "v"},
		{":v", ":", "", "v"},
		{"k:", ":", "k", ""},
		{"none", ":", "-", "none"},
		{"k\tv", "\t", "k", "v"},
	} {
		r := lineRecord([]byte(c.line), c.separator)
		key := string(r.Key)
		if r.Key == nil {
			key = "-"
		}
		if key != c.key || string(r.Value) != c.value || r.Value == nil && c.value != "" {
			t.Errorf("%q by %q: key %q, value %q", c.line, c.separator, key, r.Value)
		}
	}
	// Nothing is a task too, not a tombstone.
	if r := lineRecord([]byte{}, ""); r.Value == nil {
		t.Error("an empty line is a null value")
	}
}
