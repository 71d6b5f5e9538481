package wasihost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// artifactText is a guest with all that an artifact must carry over: a start
// function, a table, data, names in a backtrace, and a result that depends on a task.
const artifactText = `(module $artifact
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (table 17 funcref)
  (global $started (mut i32) (i32.const 0))
  (data (i32.const 0) "\08\00\00\00\05\00\00\00hello")
  (func $start (global.set $started (i32.const 7)))
  (start $start)
  (func $fall (unreachable))
  (func (export "run") (result i32)
    (local $n i32)
    (local.set $n (call $poll (i64.const 1024) (i32.const 100)))
    (if (i32.eq (local.get $n) (i32.const 4)) (then (call $fall)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (i32.sub (i32.popcnt (i32.load8_u (i32.const 1024))) (global.get $started))))`

// saved compiles a guest and saves its code.
func saved(t testing.TB, e *Engine, text string) (*Module, string) {
	t.Helper()
	m := compile(t, e, text)
	path := filepath.Join(t.TempDir(), "guest.cwasm")
	size, err := m.Save(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != size {
		t.Fatalf("Save says %d bytes; there is %v, %v", size, info, err)
	}
	return m, path
}

func engineWith(t testing.TB, cfg EngineConfig) *Engine {
	t.Helper()
	e, err := NewEngineWith(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func TestAnArtifactIsTheModule(t *testing.T) {
	m, path := saved(t, testEngine, artifactText)
	if !IsArtifact(path) {
		t.Error("IsArtifact does not know it")
	}
	got, err := engineWith(t, EngineConfig{}).LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest() != m.Digest() || got.Size() != m.Size() || got.CompileTime() != m.CompileTime() {
		t.Errorf("digest %x, size %d, compile time %v; the module has %x, %d, %v",
			got.Digest(), got.Size(), got.CompileTime(), m.Digest(), m.Size(), m.CompileTime())
	}
	if !reflect.DeepEqual(got.Imports(), m.Imports()) || !reflect.DeepEqual(got.Exports(), m.Exports()) {
		t.Errorf("imports %v, exports %v", got.Imports(), got.Exports())
	}
	if !reflect.DeepEqual(got.outline, m.outline) || !slices.Equal(got.outline.Tables, []uint64{17}) || !got.outline.Start {
		t.Errorf("outline %+v, the module has %+v", got.outline, m.outline)
	}
	if m.Origin() != Compiled || got.Origin() != FromArtifact || got.Name() != path {
		t.Errorf("origins %v and %v, name %q", m.Origin(), got.Origin(), got.Name())
	}
	if err := got.Check(); err != nil {
		t.Fatal(err)
	}

	var r recorder
	in := start(t, got, &Config{Output: r.output})
	n, err := drive(in, "\x7f", "\x01")
	if result := new(ResultError); n != 1 || !errors.As(err, &result) || result.Code != 1-7 {
		t.Errorf("Drive = %d, %v", n, err)
	}
	if !slices.Equal(r.lines, []string{`0 stdout "hello"`, `1 stdout "hello"`}) {
		t.Errorf("output %q", r.lines)
	}
	_, err = drive(in, "trap")
	if trap := new(TrapError); !errors.As(err, &trap) || len(trap.Backtrace) != 2 || trap.Backtrace[0].Func != "fall" {
		t.Errorf("a trap in loaded code: %v", err)
	}
}

func TestAnArtifactOfALowerLevelRuns(t *testing.T) {
	for _, name := range CPULevels() {
		if _, _, err := cpuLevel(name); err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		_, path := saved(t, engineWith(t, EngineConfig{CPU: name}), artifactText)
		m, err := testEngine.LoadFile(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.CPU() != name {
			t.Errorf("it says level %q, and was made for %q", m.CPU(), name)
		}
		if n, err := drive(start(t, m, nil), "\x7f"); n != 1 || err != nil {
			t.Errorf("%s: Drive = %d, %v", name, n, err)
		}
	}
}

// TestCPULevelsDiffer shows that a level reaches the compiler, which notes the flags
// beside the code.
func TestCPULevelsDiffer(t *testing.T) {
	code := func(level string) []byte {
		m := compile(t, engineWith(t, EngineConfig{CPU: level}), artifactText)
		code, err := m.module.Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	var before []byte
	for _, name := range CPULevels()[1:] {
		if _, _, err := cpuLevel(name); err != nil {
			t.Logf("%s: %v", name, err)
			break
		}
		if now := code(name); bytes.Equal(now, before) {
			t.Errorf("%s gives the same code as the level below", name)
		} else {
			before = now
		}
	}
	if bytes.Equal(code(CPUBaseline), code(CPUNative)) {
		t.Error("baseline and native give the same code")
	}
}

func TestCPULevelsThatCannotBe(t *testing.T) {
	_, err := NewEngineWith(EngineConfig{CPU: "pentium"})
	if err == nil || !strings.Contains(err.Error(), `CPU level "pentium"`) || !strings.Contains(err.Error(), CPUBaseline) {
		t.Errorf("an unknown level: %v", err)
	}
	for arch, a := range architectures {
		var known []string
		for _, f := range a.features {
			known = append(known, f.flag)
		}
		for _, l := range a.levels {
			if lacks := missing(l.flags, known); len(lacks) > 0 {
				t.Errorf("%s: level %s asks for %v, which is not in the table", arch, l.name, lacks)
			}
		}
	}
	if got := missing([]string{"has_a", "has_b"}, []string{"has_b"}); !slices.Equal(got, []string{"has_a"}) {
		t.Errorf("missing = %v", got)
	}
}

// TestTheLibraryHasTheVersionThatWeSay: the library writes its own into the code.
func TestTheLibraryHasTheVersionThatWeSay(t *testing.T) {
	code, err := compile(t, testEngine, artifactText).module.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(code, []byte(libraryVersion)) {
		t.Errorf("there is no %q in compiled code", libraryVersion)
	}
	for _, flag := range hostFeatures() {
		if !bytes.Contains(code, []byte(flag)) {
			t.Errorf("the compiler says nothing of %s, which this CPU has", flag)
		}
	}
}

func refusal(t *testing.T, path string) string {
	t.Helper()
	_, err := testEngine.LoadFile(path)
	var refused *ArtifactError
	if !errors.As(err, &refused) {
		t.Fatalf("LoadFile = %v, want an *ArtifactError", err)
	}
	return refused.Reason
}

func TestADamagedArtifactIsRefused(t *testing.T) {
	_, path := saved(t, testEngine, artifactText)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.cwasm")
	write := func(b []byte) {
		if err := os.WriteFile(broken, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A bit in every part: all of the footer and of what precedes it, and many places
	// in the code.
	flips := 0
	for at := 0; at < len(whole); {
		bit := byte(1) << (at % 8)
		whole[at] ^= bit
		write(whole)
		whole[at] ^= bit
		if _, err := testEngine.LoadFile(broken); !errors.As(err, new(*ArtifactError)) {
			t.Fatalf("bit %#x of byte %d of %d flipped: %v", bit, at, len(whole), err)
		}
		flips++
		if at++; at < len(whole)-1200 {
			at += 97
		}
	}
	if flips < 1000 {
		t.Fatalf("only %d bits were flipped", flips)
	}
	for n := range 300 {
		write(whole[:len(whole)*n/300])
		refusal(t, broken)
	}
	write(append(slices.Clip(whole), "more"...))
	refusal(t, broken)
	longer := bytes.Clone(whole)
	longer[len(longer)-sumSize-8]++ // the length of the code
	write(longer)
	if got := refusal(t, broken); !strings.Contains(got, "not as long as it says") {
		t.Errorf("with another length: %q", got)
	}
	write(whole)
	if _, err := testEngine.LoadFile(broken); err != nil {
		t.Errorf("unharmed: %v", err)
	}
}

func TestWhatIsNoArtifactIsRefused(t *testing.T) {
	m, path := saved(t, testEngine, artifactText)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := m.module.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, tc := range []struct {
		name     string
		contents []byte
		want     string
	}{
		{"empty", nil, "it is empty"},
		{"a module", []byte("\x00asm\x01\x00\x00\x00"), "not compiled"},
		{"something else", bytes.Repeat([]byte("x"), 1000), `was not made by "wasmton compile"`},
		{"another ELF file", append([]byte("\x7fELF\x02\x01\x01\x00"), make([]byte, 100)...), `was not made by "wasmton compile"`},
		{"the library's own form", bare, "cut off"},
		{"cut off", whole[:len(whole)-1], "cut off"},
	} {
		file := filepath.Join(dir, "file")
		if err := os.WriteFile(file, tc.contents, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := refusal(t, file); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want something of %q", tc.name, got, tc.want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "no"), []byte("\x00asm"), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{filepath.Join(dir, "no"), dir, fifo, filepath.Join(dir, "missing")} {
		if IsArtifact(p) {
			t.Errorf("IsArtifact(%s)", p)
		}
	}
	if got := refusal(t, dir); !strings.Contains(got, "not a regular file") {
		t.Errorf("a directory: %q", got)
	}
	if _, err := testEngine.LoadFile(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// TestAnArtifactForElsewhereIsRefused has whole artifacts that say something else of
// themselves.
func TestAnArtifactForElsewhereIsRefused(t *testing.T) {
	m, _ := saved(t, testEngine, artifactText)
	code, err := m.module.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "elsewhere.cwasm")
	write := func(code []byte, change func(*artifactAbout)) {
		about := m.about
		change(&about)
		var b bytes.Buffer
		if err := writeArtifact(&b, code, &about); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*artifactAbout)
		want   string
	}{
		{"version", func(a *artifactAbout) { a.Library = "13.0.0" }, "compiled by wasmtime 13.0.0"},
		{"settings", func(a *artifactAbout) { a.Settings = "epoch_interruption=false" }, "other settings (epoch_interruption=false;"},
		{"architecture", func(a *artifactAbout) { a.Arch = "riscv64" }, "/riscv64"},
		{"system", func(a *artifactAbout) { a.OS = "plan9" }, "plan9/"},
		{"CPU", func(a *artifactAbout) { a.Features = append(a.Features, "has_gfx9000"); a.CPU = "x86-64-v9" }, "CPU level x86-64-v9, and this CPU lacks gfx9000"},
		{"digest", func(a *artifactAbout) { a.Digest = a.Digest[:31] }, "does not say what it was compiled from"},
	} {
		write(code, tc.change)
		if got := refusal(t, path); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want something of %q", tc.name, got, tc.want)
		}
	}

	// What the library itself finds, behind an envelope that is in order.
	write(bytes.Replace(code, []byte(libraryVersion), []byte("13.0.9"), 1), func(*artifactAbout) {})
	if got := refusal(t, path); !strings.Contains(got, "the engine does not take it") {
		t.Errorf("code of another version: %q", got)
	}
	write(code, func(*artifactAbout) {})
	if _, err := testEngine.LoadFile(path); err != nil {
		t.Errorf("without a change: %v", err)
	}
}

func TestSettingsAreCompletelyNamed(t *testing.T) {
	for _, s := range codeSettings {
		if !strings.Contains(settingsText(), s.name) {
			t.Errorf("%q says nothing of %s", settingsText(), s.name)
		}
	}
	// The outline, too, goes through JSON and back.
	o := outline{Memories: 2, Tables: []uint64{1, 2}, Start: true, Object: true}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var back outline
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, o) {
		t.Errorf("outline %+v came back as %+v, %v", o, back, err)
	}
}

func TestSaveReplacesAndNeverWritesInto(t *testing.T) {
	m, path := saved(t, testEngine, artifactText)
	loaded, err := testEngine.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	other := compile(t, testEngine, strings.Replace(artifactText, "hello", "later", 1))
	if _, err := other.Save(path); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || os.SameFile(before, after) {
		t.Errorf("the file was written into: %v", err)
	}
	// What is mapped is the old code still, pages that were not touched yet included.
	var r recorder
	in := start(t, loaded, &Config{Output: r.output})
	if _, err := in.Drive(context.Background(), [][]byte{{0x7f}}); err != nil || !slices.Equal(r.lines, []string{`0 stdout "hello"`}) {
		t.Errorf("output %q, %v", r.lines, err)
	}
	if again, err := testEngine.LoadFile(path); err != nil || again.Digest() != other.Digest() {
		t.Errorf("loaded again: %v", err)
	}

	dir := filepath.Dir(path)
	if _, err := m.Save(dir); err == nil {
		t.Error("Save onto a directory")
	}
	if _, err := m.Save(filepath.Join(dir, "missing", "x.cwasm")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Save into a directory that is not there: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := m.about.save(filepath.Join(dir, "sub"), m.module, 0o600, true); err == nil {
		t.Error("a directory was replaced")
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 2 {
		t.Errorf("%v is left, %v", list, err)
	}
}
