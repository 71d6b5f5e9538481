package wasihost

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// An artifact is a file of compiled code:
//
//	code     what the library makes of a module, an ELF file; from the first byte on,
//	         since the library maps the file
//	about    an artifactAbout as JSON
//	footer   64 bytes: artifactMagic, the format's version and the length of about in
//	         4 bytes each, the length of code in 8, little-endian, and the SHA-256
//	         of all that stands before the sum
//
// The library looks at the version and the settings in its own part and believes the
// rest: of 400 artifacts with one bit flipped it took 379. Hence the sum.
const (
	artifactMagic   = "\x00wasmton cwasm\r\n"
	artifactVersion = 1

	footerSize = 64
	sumSize    = sha256.Size
	// maxAbout bounds what is read before the sum has been checked.
	maxAbout = 1 << 20
)

// artifactAbout is what must be known of the code, and of the module that it was
// compiled from.
type artifactAbout struct {
	Library  string   `json:"wasmtime"`
	Settings string   `json:"settings"`
	OS       string   `json:"os"`
	Arch     string   `json:"arch"`
	CPU      string   `json:"cpu"`
	Features []string `json:"cpu_features"` // that the code may use

	Module  string        `json:"module"` // name at compilation
	Digest  []byte        `json:"digest"`
	Size    int           `json:"size"`
	Compile time.Duration `json:"compile_ns"`
	Outline outline       `json:"outline"`
}

// about describes a module that the engine compiles.
func (e *Engine) about() artifactAbout {
	return artifactAbout{
		Library: libraryVersion, Settings: settingsText(),
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: e.cfg.CPU, Features: e.features,
	}
}

// describe notes what the code is compiled from.
func (a *artifactAbout) describe(name string, binary []byte) {
	sum := sha256.Sum256(binary)
	a.Module, a.Digest, a.Size, a.Outline = name, sum[:], len(binary), outlineOf(binary)
}

// unfit says why the code cannot be run on this machine, "" where it can.
func (a *artifactAbout) unfit() string {
	const again = "compile the module again, with this wasmton"
	switch {
	case a.OS != runtime.GOOS || a.Arch != runtime.GOARCH:
		return fmt.Sprintf("it was compiled for %s/%s, and this is %s/%s: compile the module here", a.OS, a.Arch, runtime.GOOS, runtime.GOARCH)
	case a.Library != libraryVersion:
		return fmt.Sprintf("it was compiled by wasmtime %s, and this is wasmtime %s: %s", a.Library, libraryVersion, again)
	case a.Settings != settingsText():
		return fmt.Sprintf("it was compiled with other settings (%s; here: %s): %s", a.Settings, settingsText(), again)
	}
	if lacks := missing(a.Features, hostFeatures()); len(lacks) > 0 {
		return fmt.Sprintf("it was compiled for CPU level %s, and this CPU lacks %s: compile the module here, or with a lower level such as %s",
			a.CPU, featureNames(lacks), CPUBaseline)
	}
	return ""
}

// writeArtifact writes code and what is known about it.
func writeArtifact(w io.Writer, code []byte, a *artifactAbout) error {
	about, err := json.Marshal(a)
	if err != nil {
		return err
	}
	footer := make([]byte, 0, footerSize)
	footer = append(footer, artifactMagic...)
	footer = binary.LittleEndian.AppendUint32(footer, artifactVersion)
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(about)))
	footer = binary.LittleEndian.AppendUint64(footer, uint64(len(code)))
	sum := sha256.New()
	w = io.MultiWriter(w, sum)
	for _, part := range [][]byte{code, about, footer} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	_, err = w.Write(sum.Sum(nil)) // what it adds to sum is read no more
	return err
}

// readArtifact checks a file from end to end, and returns what it says of itself.
// The error is an *ArtifactError, or one of reading.
func readArtifact(name string, f *os.File) (*artifactAbout, error) {
	refuse := func(format string, args ...any) error {
		return &ArtifactError{Name: name, Reason: fmt.Sprintf(format, args...)}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if !info.Mode().IsRegular() {
		return nil, refuse("it is not a regular file, and compiled code is mapped from one")
	}
	footer := make([]byte, min(size, footerSize))
	if _, err := f.ReadAt(footer, size-int64(len(footer))); err != nil {
		return nil, err
	}
	if len(footer) < footerSize || !bytes.HasPrefix(footer, []byte(artifactMagic)) {
		return nil, refuse("%s", notOurs(f))
	}
	fields := footer[len(artifactMagic):]
	version := binary.LittleEndian.Uint32(fields)
	aboutLen := int64(binary.LittleEndian.Uint32(fields[4:]))
	codeLen := binary.LittleEndian.Uint64(fields[8:])
	if version != artifactVersion {
		return nil, refuse("it has version %d of the format, and this wasmton knows version %d: compile the module again", version, artifactVersion)
	}
	if aboutLen > maxAbout || codeLen != uint64(size-footerSize-aboutLen) {
		return nil, refuse("it is damaged: it is not as long as it says. Copy it again, or compile the module again")
	}
	sum := sha256.New()
	// With a buffer of its own size: io.Copy's is small.
	if _, err := io.CopyBuffer(onlyWriter{sum}, io.NewSectionReader(f, 0, size-sumSize), make([]byte, 256<<10)); err != nil {
		return nil, err
	}
	if !bytes.Equal(sum.Sum(nil), footer[footerSize-sumSize:]) {
		return nil, refuse("it is damaged: its contents do not match their SHA-256. Copy it again, or compile the module again")
	}
	text := make([]byte, aboutLen)
	if _, err := f.ReadAt(text, int64(codeLen)); err != nil {
		return nil, err
	}
	a := &artifactAbout{}
	if err := json.Unmarshal(text, a); err != nil || len(a.Digest) != sha256.Size {
		return nil, refuse("it does not say what it was compiled from: compile the module again")
	}
	return a, nil
}

// onlyWriter hides the other methods of a writer, by which io.CopyBuffer would pass
// over its buffer.
type onlyWriter struct{ io.Writer }

// elfOSABI is where an ELF file names the system that it is for; 200 is the
// library's own.
const (
	elfOSABI   = 7
	abiLibrary = 200
)

// notOurs says what a file without our footer may be.
func notOurs(f io.ReaderAt) string {
	head := make([]byte, elfOSABI+1)
	if n, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) || n == 0 {
		return "it is empty"
	}
	switch {
	case bytes.HasPrefix(head, magic):
		return "it is a WebAssembly module that is not compiled; name it .wasm"
	case bytes.HasPrefix(head, []byte("\x7fELF")) && head[elfOSABI] == abiLibrary:
		return `it is cut off, or was not made by "wasmton compile" (the wasmtime command's compiled files are not taken)`
	}
	return `it was not made by "wasmton compile"`
}

// isArtifact reports whether a file begins like compiled code.
func isArtifact(head []byte) bool {
	return len(head) > elfOSABI && bytes.HasPrefix(head, []byte("\x7fELF")) && head[elfOSABI] == abiLibrary
}
