//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

var (
	metricsURL     = regexp.MustCompile(`url=(http://\S+/metrics)`)
	rebalanceCount = regexp.MustCompile(`(?m)^wasmton_rebalances_total\S* (\d+)$`)
)

// The module changes under load, one of the new ones is broken: no message is lost,
// repeated or overtaken, and the group sees nothing of it.
func TestChangingTheModuleUnderLoad(t *testing.T) {
	const total, changes, broken = 100_000, 10, 5
	tp, m, out := newTopic(t, 3), newMessages(t, 3), newSink(t)
	tp.produce(m.next(total)...)
	original, err := os.ReadFile(guest(t, "c-processor"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "module.wasm")
	replace := func(code []byte) {
		t.Helper()
		if err := os.WriteFile(path+".next", code, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".next", path); err != nil {
			t.Fatal(err)
		}
	}
	replace(original)
	w := start(t, tp.run(path, out.grant(), "--concurrency=2", "--metrics-addr=127.0.0.1:0")...)

	for i := 1; i <= changes; i++ {
		const bytes = 8 // a message has more
		await(t, "more messages", func() bool { return out.size() >= bytes*total/changes*int64(i) }, w)
		told := "the module was changed"
		code := renamed(original, fmt.Sprintf("version %d", i))
		if i == broken {
			told, code = "the module was not changed", original[:len(original)/2]
		}
		before := strings.Count(w.stderr.String(), told)
		replace(code)
		w.signal(syscall.SIGHUP)
		await(t, told, func() bool { return strings.Count(w.stderr.String(), told) > before }, w)
	}
	await(t, "all messages", tp.caughtUp, w)
	address := metricsURL.FindStringSubmatch(w.stderr.String())
	if address == nil {
		t.Fatal("no address of the metrics on standard error")
	}
	if n := rebalanceCount.FindStringSubmatch(page(t, address[1])); len(n) != 2 || n[1] != "1" {
		t.Errorf("rebalances: %v, want 1, that of the start", n)
	}
	w.signal(syscall.SIGTERM)
	w.wait(0)
	w.summary(total, 0)
	m.checkOnce(out.lines())
}

// renamed is a module that does what code does and has another digest: a custom
// section is behind it.
func renamed(code []byte, name string) []byte {
	section := append([]byte{0, byte(len(name) + 1), byte(len(name))}, name...)
	return append(append([]byte(nil), code...), section...)
}

func page(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
