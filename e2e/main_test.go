//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/wasmton/wasmton/e2e/kafkatest"
)

// patience bounds every single wait. Nothing is judged by how long it took; this
// only turns what would hang into a failure with a message.
const patience = 90 * time.Second

// binary is the wasmton under test.
var binary = filepath.Join("..", "bin", "wasmton")

func TestMain(m *testing.M) {
	if b := os.Getenv("WASMTON_BIN"); b != "" {
		binary = b
	}
	if err := findBinary(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := stopBrokers(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func findBinary() (err error) {
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	if _, err = os.Stat(binary); err != nil {
		return fmt.Errorf("no wasmton to test; run: make build guests (%w)", err)
	}
	return nil
}

// brokers is the cluster that tests share unless they harm theirs. The first test
// that wants it starts it.
var brokers struct {
	sync.Once
	cluster *kafkatest.Cluster
	err     error
}

func sharedCluster(t *testing.T) *kafkatest.Cluster {
	t.Helper()
	brokers.Do(func() {
		brokers.cluster, brokers.err = kafkatest.Start(context.Background(), kafkatest.Config{})
	})
	if brokers.err != nil {
		t.Fatal(brokers.err)
	}
	return brokers.cluster
}

func stopBrokers() error {
	if brokers.cluster == nil {
		return nil
	}
	return brokers.cluster.Stop()
}

// ownCluster starts brokers for one test.
func ownCluster(t *testing.T, nodes int) *kafkatest.Cluster {
	t.Helper()
	c, err := kafkatest.Start(t.Context(), kafkatest.Config{Nodes: nodes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// await returns once cond holds, and fails the test where it never does, or not
// before a process in whose doing it lies has ended.
func await(t *testing.T, what string, cond func() bool, doers ...*wasmton) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		for _, w := range doers {
			if !w.running() && !cond() {
				t.Fatalf("wasmton ended before: %s", what)
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// guest returns the path of a guest: NAME.wat in testdata/wat, else one that the
// scripts have built.
func guest(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("testdata", "wat", name)
	if filepath.Ext(name) != ".wat" {
		path = filepath.Join("..", "build", "guests", name+".wasm")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(abs); err != nil {
		t.Fatalf("guest %s is missing; run: make guests (%v)", name, err)
	}
	return abs
}
