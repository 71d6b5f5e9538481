package wasihost

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	wt "github.com/bytecodealliance/wasmtime-go/v14"
)

// magic begins every WebAssembly binary; a version and a layer follow, 2 bytes each.
var magic = []byte("\x00asm")

const componentAdvice = "this is a WebAssembly component, and a processor is a core module: " +
	"build for wasm32-wasip1 rather than wasm32-wasip2 (Rust: --target wasm32-wasip1; Go: GOOS=wasip1)"

// binaryForm returns code as a core module's binary form, and translates the text
// form into it. Errors are *FormatError.
func binaryForm(name string, code []byte) ([]byte, error) {
	refuse := func(format string, args ...any) error {
		return &FormatError{Name: name, Reason: fmt.Sprintf(format, args...)}
	}
	if len(code) == 0 {
		return nil, refuse("the file is empty")
	}
	if bytes.HasPrefix(code, magic) {
		switch {
		case len(code) < 8:
			return nil, refuse("the module is cut off after %d bytes", len(code))
		case code[6] == 1 && code[7] == 0:
			return nil, refuse("%s", componentAdvice)
		case !bytes.Equal(code[4:8], []byte{1, 0, 0, 0}):
			return nil, refuse("unknown version of the WebAssembly binary format: % x", code[4:8])
		}
		return code, nil
	}
	if len(code) < len(magic) && bytes.HasPrefix(magic, code) {
		return nil, refuse("the module is cut off after %d bytes", len(code))
	}
	word, isText := firstWord(code)
	if word == "component" {
		return nil, refuse("%s", componentAdvice)
	}
	if !isText && !strings.EqualFold(filepath.Ext(name), ".wat") {
		return nil, refuse("not a WebAssembly module: %s", describe(code))
	}
	binary, err := wt.Wat2Wasm(string(code))
	if err != nil {
		return nil, refuse("not valid WebAssembly text: %s", firstLines(err.Error(), 6))
	}
	return binary, nil
}

// firstWord returns the word after the first parenthesis, past white space and
// comments, and whether the code begins like WebAssembly text at all.
func firstWord(code []byte) (string, bool) {
	for {
		code = bytes.TrimLeft(code, " \t\r\n")
		switch {
		case bytes.HasPrefix(code, []byte(";;")):
			_, rest, ok := bytes.Cut(code, []byte("\n"))
			if !ok {
				return "", false
			}
			code = rest
		case bytes.HasPrefix(code, []byte("(;")):
			_, rest, ok := bytes.Cut(code, []byte(";)"))
			if !ok {
				return "", false
			}
			code = rest
		case bytes.HasPrefix(code, []byte("(")):
			code = bytes.TrimLeft(code[1:], " \t\r\n")
			end := bytes.IndexFunc(code, func(r rune) bool { return r < 'a' || r > 'z' })
			if end < 0 {
				end = len(code)
			}
			word := string(code[:end])
			switch word {
			// A module's fields may stand without the module around them.
			case "module", "component", "func", "import", "export", "memory", "type", "table", "global", "data", "elem", "start":
				return word, true
			}
			return "", false
		default:
			return "", false
		}
	}
}

// describe says what a file that is no module seems to be.
func describe(code []byte) string {
	for _, known := range []struct{ prefix, what string }{
		{"\x7fELF", "it is an ELF file: a native program, or a module that was compiled ahead of time"},
		{"\xcf\xfa\xed\xfe", "it is a Mach-O file, a native program"},
		{"MZ", "it is a Windows program"},
		{"\x1f\x8b", "it is compressed with gzip: unpack it first"},
		{"\x28\xb5\x2f\xfd", "it is compressed with zstd: unpack it first"},
		{"PK\x03\x04", "it is a ZIP archive"},
		{"BC\xc0\xde", "it is LLVM bitcode: link it first"},
		{"!<arch>", "it is an archive of object files: link it first"},
		{"#!", "it is a script"},
		{"<", "it looks like HTML or XML: perhaps a failed download"},
		{"version https://git-lfs", "it is a Git LFS pointer: run git lfs pull"},
	} {
		if bytes.HasPrefix(code, []byte(known.prefix)) {
			return known.what
		}
	}
	return fmt.Sprintf("it begins with % x, and a module with % x", code[:min(len(code), 4)], magic)
}

// compileError turns the library's refusal of a binary into a *FormatError.
func compileError(name string, err error) error {
	reason := firstLines(err.Error(), 6)
	for _, known := range []struct{ text, hint string }{
		{"unexpected end", "the module is cut off or damaged: "},
		{"threads must be enabled", "the module uses threads or shared memory, which processors cannot have: "},
		{"memory64 must be enabled", "the module uses 64-bit memory: build for wasm32: "},
		{"exceptions proposal not enabled", "the module uses exceptions, which this engine lacks: "},
		{"tail calls support is not enabled", "the module uses tail calls, which this engine lacks: "},
		{"relaxed SIMD support is not enabled", "the module uses relaxed SIMD, which this engine lacks: "},
	} {
		if strings.Contains(reason, known.text) {
			return &FormatError{Name: name, Reason: known.hint + reason}
		}
	}
	return &FormatError{Name: name, Reason: "not a valid module: " + reason}
}

// firstLines cuts a message of the library's, which may end in a long list of
// causes, and joins its lines.
func firstLines(text string, n int) string {
	const most = 2000
	var kept []string
	for line := range strings.Lines(text[:min(len(text), most)]) {
		if line = strings.TrimSpace(line); line == "" || line == "Caused by:" {
			continue
		}
		if kept = append(kept, line); len(kept) == n {
			break
		}
	}
	return strings.ToValidUTF8(strings.Join(kept, ": "), "?")
}
