package kafkatest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPropertiesOfANode(t *testing.T) {
	addresses := []address{{1001, 1002}, {1003, 1004}, {1005, 1006}}
	tests := map[string]struct {
		cfg   Config
		index int
		want  []string
	}{
		"one node keeps one replica": {
			Config{Nodes: 1}, 0,
			[]string{
				"node.id=1", "controller.quorum.voters=1@127.0.0.1:1002", "log.dirs=/somewhere/data",
				"default.replication.factor=1", "min.insync.replicas=1", "offsets.topic.replication.factor=1",
			},
		},
		"of three nodes each knows the others and its own ports": {
			Config{Nodes: 3}, 1,
			[]string{
				"node.id=2", "controller.quorum.voters=1@127.0.0.1:1002,2@127.0.0.1:1004,3@127.0.0.1:1006",
				"listeners=PLAINTEXT://127.0.0.1:1003,CONTROLLER://127.0.0.1:1004",
				"default.replication.factor=3", "min.insync.replicas=2", "transaction.state.log.min.isr=2",
			},
		},
		"properties of the caller win": {
			Config{Nodes: 1, Properties: map[string]string{"min.insync.replicas": "7", "other.property": "x"}}, 0,
			[]string{"min.insync.replicas=7", "other.property=x"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			lines := strings.Split(test.cfg.properties(test.index, "/somewhere", addresses[:test.cfg.Nodes]), "\n")
			for _, want := range test.want {
				if !slices.Contains(lines, want) {
					t.Errorf("%q is missing in\n%s", want, strings.Join(lines, "\n"))
				}
			}
		})
	}
}

func TestNumberOfNodes(t *testing.T) {
	for nodes, valid := range map[int]bool{0: true, 1: true, 2: false, 3: true, 4: false, -1: false} {
		cfg := Config{Nodes: nodes}
		cfg.ensureDefaults()
		if err := cfg.validate(); (err == nil) != valid {
			t.Errorf("%d nodes: %v", nodes, err)
		}
	}
}

func TestPortsAreGivenOrFreeAndNeverTwice(t *testing.T) {
	given, err := (&Config{Nodes: 3, Port: 9092}).addresses()
	if want := []address{{9092, 9093}, {9094, 9095}, {9096, 9097}}; err != nil || !slices.Equal(given, want) {
		t.Errorf("from 9092 on: %v, %v; want %v", given, err, want)
	}
	free, err := (&Config{Nodes: 3}).addresses()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{0: true}
	for _, a := range free {
		if seen[a.client] || seen[a.controller] || a.client == a.controller {
			t.Errorf("a port twice or none: %v", free)
		}
		seen[a.client], seen[a.controller] = true, true
	}
}

func TestClasspathThatWasKept(t *testing.T) {
	dir := t.TempDir()
	jar, file := filepath.Join(dir, "a.jar"), filepath.Join(dir, "classpath")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := readClasspath(file); ok {
		t.Error("read from no file")
	}
	write(file, "\n")
	if _, ok := readClasspath(file); ok {
		t.Error("an empty one was taken")
	}
	write(file, jar+"\n")
	if _, ok := readClasspath(file); ok {
		t.Error("one whose jar has gone was taken")
	}
	write(jar, "")
	if cp, ok := readClasspath(file); !ok || cp != jar {
		t.Errorf("got %q, %t; want %q", cp, ok, jar)
	}
}

func TestTail(t *testing.T) {
	for text, want := range map[string]string{"": "", "a": "a", "a\nb\n": "a\nb", "a\nb\nc\n": "b\nc"} {
		if got := tail([]byte(text), 2); got != want {
			t.Errorf("tail of %q: %q, want %q", text, got, want)
		}
	}
}
