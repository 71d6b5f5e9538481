//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasmton/wasmton/e2e/internal/child"
)

// wasmton is a running or ended process of the binary under test.
type wasmton struct {
	t              *testing.T
	cmd            *exec.Cmd
	done           <-chan struct{}
	stdout, stderr output
}

// output collects what a process writes; it may be read meanwhile.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts wasmton. It is killed when the test ends, and its standard error
// shown when the test has failed.
func start(t *testing.T, args ...string) *wasmton {
	t.Helper()
	return startWithInput(t, nil, args...)
}

func startWithInput(t *testing.T, stdin io.Reader, args ...string) *wasmton {
	t.Helper()
	w := &wasmton{t: t, cmd: exec.Command(binary, args...)}
	w.cmd.Dir = t.TempDir()
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = stdin, &w.stdout, &w.stderr
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "WASMTON_") { // it would read those
			w.cmd.Env = append(w.cmd.Env, v)
		}
	}
	var err error
	if w.done, err = child.Start(w.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.kill()
		if t.Failed() {
			t.Logf("wasmton %s\nended as: %v\n%s", strings.Join(args, " "), w.cmd.ProcessState, ends(w.stderr.String()))
		}
	})
	return w
}

// ends leaves out the middle of a long text.
func ends(text string) string {
	const keep = 4000
	if len(text) <= 2*keep {
		return text
	}
	return text[:keep] + "\n[...]\n" + text[len(text)-keep:]
}

func (w *wasmton) kill() {
	_ = w.cmd.Process.Kill() // fails only where it has ended
	<-w.done
}

func (w *wasmton) signal(s os.Signal) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(s); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wasmton) running() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

// wait waits for the end and wants the given exit code.
func (w *wasmton) wait(code int) {
	w.t.Helper()
	select {
	case <-w.done:
	case <-time.After(patience):
		w.t.Fatalf("wasmton still runs after %v", patience)
	}
	if got := w.cmd.ProcessState.ExitCode(); got != code {
		w.t.Fatalf("wasmton ended as %v, want exit code %d", w.cmd.ProcessState, code)
	}
}

// says wants each of the texts on standard error.
func (w *wasmton) says(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		if !strings.Contains(w.stderr.String(), text) {
			w.t.Errorf("standard error does not say %q", text)
		}
	}
}

var summaryLine = regexp.MustCompile(`(?m)^processed=(\d+) failed=(\d+) seconds=[0-9.]+ rate=[0-9.]+$`)

// summary wants nothing but the summary line as the last of standard output, with
// these figures.
func (w *wasmton) summary(processed, failed int) {
	w.t.Helper()
	lines := strings.Split(strings.TrimSuffix(w.stdout.String(), "\n"), "\n")
	m := summaryLine.FindStringSubmatch(lines[len(lines)-1])
	if m == nil {
		w.t.Fatalf("standard output ends with %q, which is no summary line", lines[len(lines)-1])
	}
	if got, want := m[1]+" "+m[2], fmt.Sprintf("%d %d", processed, failed); got != want {
		w.t.Errorf("summary %q, want processed=%d failed=%d", m[0], processed, failed)
	}
}

// processed returns the figure of the summary line.
func (w *wasmton) processed() int {
	w.t.Helper()
	m := summaryLine.FindStringSubmatch(w.stdout.String())
	if m == nil {
		w.t.Fatalf("no summary line in standard output: %q", w.stdout.String())
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}
