package wasihost

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

func binaryOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := wt.Wat2Wasm(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsNotAModule(t *testing.T) {
	good := binaryOf(t, pollingGuest)
	for _, c := range []struct {
		name string
		file string
		code string
		want string // part of the reason; "" where it must compile
	}{
		{"a binary", "x.wasm", string(good), ""},
		{"a binary by another name", "x.wat", string(good), ""},
		{"text", "x.wat", pollingGuest, ""},
		{"text by another name", "x.wasm", pollingGuest, ""},
		{"text after comments", "x", ";; a line\n  (; a\nblock ;)\n" + pollingGuest, ""},
		{"text without a module around it", "x.wat", pollImport + aMemory + aRun, ""},
		{"an empty file", "x.wasm", "", "the file is empty"},
		{"a component", "x.wasm", "\x00asm\x0d\x00\x01\x00", "this is a WebAssembly component, and a processor is a core module: build for wasm32-wasip1"},
		{"a component in text", "x.wat", "(component)", "this is a WebAssembly component"},
		{"the first byte of a module", "x.wasm", "\x00", "cut off after 1 bytes"},
		{"a module's magic", "x.wasm", "\x00asm", "cut off after 4 bytes"},
		{"most of its head", "x.wasm", "\x00asm\x01\x00\x00", "cut off after 7 bytes"},
		{"another version", "x.wasm", "\x00asm\x02\x00\x00\x00", "unknown version of the WebAssembly binary format: 02 00 00 00"},
		{"half a module", "x.wasm", string(good[:len(good)/2]), "cut off or damaged: "},
		{"a damaged module", "x.wasm", string(good[:20]) + "\xff\xff\xff" + string(good[23:]), "not a valid module: "},
		{"a module that is not valid", "x.wat", "(module (func (result i32)))", "not a valid module: "},
		{"text that is not valid", "x.wat", "(module (func $f (no.such.thing)))", "not valid WebAssembly text: unknown operator or unexpected token"},
		{"nonsense by the name of text", "x.wat", "hello", "not valid WebAssembly text: "},
		{"an unfinished comment", "x", "(; (module", "not a WebAssembly module: "},
		{"a native program", "x.wasm", "\x7fELF\x02\x01", "it is an ELF file"},
		{"a script", "x.wasm", "#!/bin/sh\n", "it is a script"},
		{"a compressed module", "x.wasm", "\x1f\x8b\x08", "compressed with gzip"},
		{"a page in HTML", "x.wasm", "<!doctype html>", "it looks like HTML"},
		{"a pointer of Git LFS", "x.wasm", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
		{"other bytes", "x.wasm", "\x01\x02\x03", "it begins with 01 02 03, and a module with 00 61 73 6d"},
		{"Lisp", "x.wasm", "(defun f ())", "not a WebAssembly module: it begins with"},
		{"threads", "x.wat", "(module (memory 1 1 shared))", "the module uses threads or shared memory"},
		{"64-bit memory", "x.wat", "(module (memory i64 1))", "build for wasm32"},
		{"tail calls", "x.wat", "(module (func $f (return_call $f)))", "the module uses tail calls"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := testEngine.Compile(c.file, []byte(c.code))
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Check(); err != nil {
					t.Error(err)
				}
				return
			}
			var format *FormatError
			if !errors.As(err, &format) || !strings.Contains(format.Reason, c.want) {
				t.Fatalf("%v; want %q", err, c.want)
			}
			if format.Name != c.file || !strings.HasPrefix(err.Error(), c.file+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
		})
	}
}

func TestADigestIsThatOfTheBinaryForm(t *testing.T) {
	a, b := compile(t, testEngine, pollingGuest), compile(t, testEngine, string(binaryOf(t, pollingGuest)))
	if a.Digest() != b.Digest() || a.Digest() != sha256.Sum256(binaryOf(t, pollingGuest)) || a.Size() != b.Size() {
		t.Error("text and binary form differ")
	}
}

func TestAnObjectFileIsToldFromAModule(t *testing.T) {
	// A custom section "linking" at the end, as compilers write it.
	code := append(binaryOf(t, "(module "+pollImport+aMemory+aRun+")"), "\x00\x09\x07linking\x02"...)
	m, err := testEngine.Compile("x.o", code)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); err == nil || !strings.Contains(err.Error(), "it is an object file: link it first") {
		t.Error(err)
	}
}

// FuzzCompile feeds bytes to all that looks at a module before it runs. What
// passes is started and given a task.
func FuzzCompile(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.wat")
	if err != nil {
		f.Fatal(err)
	}
	texts := []string{pollingGuest, hashingGuest, talkingGuest, growingGuest, "(module)"}
	for _, path := range seeds {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	for _, text := range texts {
		f.Add([]byte(text))
		f.Add(binaryOf(f, text))
	}
	for _, s := range []string{"", "\x00asm", "\x00asm\x0d\x00\x01\x00", "\x00asm\x01\x00\x00\x00\x00\x05\x80\x80\x80\x80\x10", "(;", "("} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		m, err := testEngine.Compile("x", code)
		if err != nil {
			var format *FormatError
			if !errors.As(err, &format) || format.Reason == "" {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if err := m.Check(); err != nil {
			var link *LinkError
			if !errors.As(err, &link) || len(link.Problems) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		cfg := &Config{MemoryLimit: 1 << 20, TaskTimeout: tick, Output: func(int, Stream, []byte) {}}
		in, err := m.Instantiate(context.Background(), cfg)
		if err != nil {
			return
		}
		defer in.Close()
		if n, err := drive(in, "a task", ""); n < 0 || n > 2 || (n == 2) != (err == nil) || in.MemoryUse() > cfg.MemoryLimit {
			t.Errorf("Drive = %d, %v, with %d bytes of memory", n, err, in.MemoryUse())
		}
	})
}
