package kafkatest

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed pom.xml
var pom []byte

// classpath returns the Java class path of a broker: jars in Maven's own local
// repository, fetched if they are not there yet. The answer is kept in the
// user's cache directory, since asking Maven takes seconds each time.
func classpath(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("kafkatest: no place to keep the broker's class path: %w", err)
	}
	dir := filepath.Join(cache, "wasmton")
	// Named after the pom, so that a change of version asks Maven again.
	file := filepath.Join(dir, fmt.Sprintf("kafka-%x.classpath", sha256.Sum256(pom))[:len("kafka-")+16])
	if cp, ok := readClasspath(file); ok {
		return cp, nil
	}

	if _, err := exec.LookPath("mvn"); err != nil {
		return "", errors.New("kafkatest: Maven (mvn) is needed to fetch the broker's jars, and is not on the PATH")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("kafkatest: %w", err)
	}
	work, err := os.MkdirTemp(dir, "mvn-*")
	if err != nil {
		return "", fmt.Errorf("kafkatest: %w", err)
	}
	defer os.RemoveAll(work)
	pomFile, out := filepath.Join(work, "pom.xml"), filepath.Join(work, "classpath")
	if err := os.WriteFile(pomFile, pom, 0o644); err != nil {
		return "", fmt.Errorf("kafkatest: %w", err)
	}
	mvn := exec.CommandContext(ctx, "mvn", "--batch-mode", "--quiet", "--file", pomFile,
		"dependency:build-classpath", "-DincludeScope=runtime", "-Dmdep.outputFile="+out)
	if said, err := mvn.CombinedOutput(); err != nil {
		return "", fmt.Errorf("kafkatest: Maven could not fetch the broker's jars: %w\n%s", err, tail(said, 20))
	}
	cp, ok := readClasspath(out)
	if !ok {
		return "", errors.New("kafkatest: Maven named jars of the broker that are not there")
	}
	if err := os.Rename(out, file); err != nil {
		return "", fmt.Errorf("kafkatest: %w", err)
	}
	return cp, nil
}

// readClasspath reads a class path from file; ok is false when there is none or
// one of its jars has gone.
func readClasspath(file string) (cp string, ok bool) {
	text, err := os.ReadFile(file)
	cp = strings.TrimSpace(string(text))
	if err != nil || cp == "" {
		return "", false
	}
	for _, jar := range filepath.SplitList(cp) {
		if _, err := os.Stat(jar); err != nil {
			return "", false
		}
	}
	return cp, true
}

// tail returns the last n lines of text.
func tail(text []byte, n int) string {
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
