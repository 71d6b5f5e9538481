package wasihost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// villain is a guest of testdata/hostile: a file that begins with comments, which
// say what it does and, in lines of the form "key: value",
//
//	expect        how it ends, see checkEnd
//	grant         files: a read-only tree as descriptor 3, a writable one as 4
//	              devices: the host's /dev as 3
//	memory-limit  in bytes
//	alone         it misbehaves whatever the task
//
// It misbehaves when its task has four bytes, and in no other task.
type villain struct {
	name, text string
	header     map[string]string
}

const villainDir = "testdata/hostile"

func readVillain(t *testing.T, file string) villain {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(villainDir, file))
	if err != nil {
		t.Fatal(err)
	}
	h := villain{name: strings.TrimSuffix(file, ".wat"), text: string(text), header: map[string]string{}}
	for line := range strings.Lines(h.text) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), ";; ")
		if !ok {
			continue
		}
		for _, key := range []string{"expect", "grant", "memory-limit", "alone"} {
			if line == key {
				h.header[key] = "yes"
			} else if value, ok := strings.CutPrefix(line, key+": "); ok {
				h.header[key] = value
			}
		}
	}
	return h
}

// TestHostileGuests runs each guest of testdata/hostile. It must end as it says, the
// tasks beside the one in which it misbehaves must be done, a neighbour must not
// notice, and nothing may change but what it may write to.
func TestHostileGuests(t *testing.T) {
	files, err := os.ReadDir(villainDir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("%d guests", len(files))
	}
	neighbour := guest(t, pollingGuest, nil)
	for _, f := range files {
		h := readVillain(t, f.Name())
		t.Run(h.name, func(t *testing.T) {
			h.run(t)
			if n, err := drive(neighbour, "a task"); n != 1 || err != nil {
				t.Errorf("a neighbour: %d, %v", n, err)
			}
		})
	}
}

// openFiles is how many descriptors the process has; 0 where that cannot be told.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

func (h villain) run(t *testing.T) {
	end, where := h.header["expect"], "run"
	if rest, ok := strings.CutPrefix(end, "instantiate "); ok {
		end, where = rest, "instantiate"
	}
	m, err := testEngine.Compile(h.name+".wat", []byte(h.text))
	if strings.HasPrefix(end, "format ") {
		checkEnd(t, end, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	err = m.Check()
	if strings.HasPrefix(end, "link ") {
		checkEnd(t, end, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg, unchanged := h.config(t)
	defer unchanged()
	in, err := m.Instantiate(context.Background(), cfg)
	if where == "instantiate" {
		checkEnd(t, end, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	// What the module holds open by now, beside the directories, it keeps.
	files := openFiles() - len(cfg.Dirs)
	defer func() {
		if n := openFiles(); n > files {
			t.Errorf("the process has %d files open, and had %d", n, files)
		}
	}()
	defer in.Close()

	tasks, before := []string{"before", "evil", "after"}, 1
	if h.header["alone"] != "" {
		tasks, before = []string{"evil"}, 0
	}
	n, err := drive(in, tasks...)
	switch {
	case end == "done" || end == "result 0":
		if n != len(tasks) || err != nil {
			t.Fatalf("Drive = %d, %v; all is to be done", n, err)
		}
	case n != before:
		t.Fatalf("Drive = %d, %v; want task %d to fail", n, err, before)
	default:
		checkEnd(t, end, err)
		if alive := strings.HasPrefix(end, "result "); in.Alive() != alive {
			t.Errorf("after %v the guest is alive: %v", err, in.Alive())
		}
	}
	if in.MemoryUse() > in.cfg.MemoryLimit {
		t.Errorf("the guest has %d bytes of %d", in.MemoryUse(), in.cfg.MemoryLimit)
	}
	if h.header["alone"] != "" {
		return
	}
	if in.Alive() {
		if n, err := drive(in, "after"); n != 1 || err != nil {
			t.Errorf("the next task: %d, %v", n, err)
		}
	}
	fresh, err := m.Instantiate(context.Background(), cfg)
	if err != nil {
		t.Fatalf("a fresh instance: %v", err)
	}
	defer fresh.Close()
	if n, err := drive(fresh, "before", "after"); n != 2 || err != nil {
		t.Errorf("tasks of a fresh instance: %d, %v", n, err)
	}
}

// config is what the guest is granted. unchanged checks that nothing has changed but
// what it may write to.
func (h villain) config(t *testing.T) (cfg *Config, unchanged func()) {
	t.Helper()
	cfg = &Config{
		Args: []string{"guest"}, Env: []string{"NAME=value"},
		TaskTimeout: 10 * time.Second, Output: func(int, Stream, []byte) {},
	}
	if strings.HasSuffix(h.header["expect"], "timeout") {
		cfg.TaskTimeout = 10 * tick
	}
	if limit := h.header["memory-limit"]; limit != "" {
		n, err := strconv.ParseInt(limit, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		cfg.MemoryLimit = n
	}
	switch h.header["grant"] {
	case "":
		return cfg, func() {}
	case "devices":
		cfg.Dirs = []Dir{{Host: "/dev", Guest: "/dev", ReadOnly: true}}
		return cfg, func() {}
	}
	readOnly, writable := tree(t), tree(t)
	witness := filepath.Join(filepath.Dir(writable), "witness")
	if err := os.WriteFile(witness, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(writable, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Dirs = []Dir{{Host: readOnly, Guest: "/ro", ReadOnly: true}, {Host: writable, Guest: "/rw"}}
	before := snapshot(t, readOnly)
	return cfg, func() {
		t.Helper()
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		if after := snapshot(t, readOnly); after != before {
			t.Errorf("the read-only directory was\n%sand is\n%s", before, after)
		}
		beside, err := os.ReadDir(filepath.Dir(writable))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(witness); err != nil || string(text) != "untouched" || len(beside) != 3 {
			t.Errorf("outside of the directories: %v, %q, %v", beside, text, err)
		}
	}
}

// checkEnd compares an error with how a guest is expected to end:
//
//	trap TEXT    a *TrapError whose reason has TEXT
//	exit N       an *ExitError
//	result N     a *ResultError; 0 is no error
//	timeout      a *TimeoutError
//	link TEXT    a *LinkError that has TEXT
//	format TEXT  a *FormatError that has TEXT
//	error TEXT   another error that has TEXT
//	done         no error
func checkEnd(t *testing.T, want string, err error) {
	t.Helper()
	kind, text, _ := strings.Cut(want, " ")
	var trap *TrapError
	var exit *ExitError
	var result *ResultError
	var late *TimeoutError
	var link *LinkError
	var format *FormatError
	ok := false
	switch kind {
	case "trap":
		ok = errors.As(err, &trap) && strings.Contains(trap.Reason, text)
	case "exit":
		ok = errors.As(err, &exit) && fmt.Sprint(exit.Status) == text
	case "result":
		ok = errors.As(err, &result) && fmt.Sprint(result.Code) == text || err == nil && text == "0"
	case "timeout":
		ok = errors.As(err, &late)
	case "link":
		ok = errors.As(err, &link) && strings.Contains(err.Error(), text)
	case "format":
		ok = errors.As(err, &format) && strings.Contains(err.Error(), text)
	case "error":
		ok = err != nil && strings.Contains(err.Error(), text)
	case "done":
		ok = err == nil
	}
	if !ok {
		t.Errorf("the guest ended with %v (%T), and not as expected: %s", err, err, want)
	}
}
