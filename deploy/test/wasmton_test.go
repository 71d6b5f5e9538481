package deploytest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if builtDir != "" {
		os.RemoveAll(builtDir)
	}
	os.Exit(code)
}

var builtDir string

// wasmton returns the path of the binary: the environment's WASMTON_BIN, or one
// built here from the module above.
var wasmton = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("WASMTON_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	var err error
	if builtDir, err = os.MkdirTemp("", "wasmton"); err != nil {
		return "", err
	}
	bin := filepath.Join(builtDir, "wasmton")
	build := exec.Command("go", "build", "-o", bin, "./cmd/wasmton")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("WASMTON_BIN is not set, and %v: %w\n%s", build, err, out)
	}
	return bin, nil
})

func wasmtonBinary(t *testing.T) string {
	t.Helper()
	bin, err := wasmton()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// invocation is a command line of wasmton's main form. Our files write flags as
// --name=value only, so that they can be told from arguments without a table.
type invocation struct {
	flags                       map[string]string // by name; a repeated one has its last value
	bootstrap, topic, processor string
}

func parseInvocation(args []string) (invocation, error) {
	in := invocation{flags: map[string]string{}}
	var positional []string
	for _, arg := range args {
		flag, ok := strings.CutPrefix(arg, "--")
		if !ok {
			positional = append(positional, arg)
			continue
		}
		name, value, ok := strings.Cut(flag, "=")
		if !ok {
			return in, fmt.Errorf("%s: write --name=value", arg)
		}
		in.flags[name] = value
	}
	if len(positional) != 3 {
		return in, fmt.Errorf("want BOOTSTRAP TOPIC PROCESSOR, got %q", positional)
	}
	in.bootstrap, in.topic, in.processor = positional[0], positional[1], positional[2]
	return in, nil
}

// brokerUnreachable is the exit code of a wasmton that found nothing wrong with
// its flags, its module and its grants, and then no broker.
const brokerUnreachable = 3

var answers = map[string]error{}

// accepts says whether wasmton takes a command line: it runs it with what only
// the container has (broker, module, directories, port) replaced by what is here.
// It asks once.
func accepts(t *testing.T, env, args []string) error {
	t.Helper()
	question := fmt.Sprintf("%q %q", env, args)
	err, ok := answers[question]
	if !ok {
		err = tryOut(t, env, args)
		answers[question] = err
	}
	return err
}

func tryOut(t *testing.T, env, args []string) error {
	t.Helper()
	in, err := parseInvocation(args)
	if err != nil {
		return err
	}
	dir := t.TempDir()
	module := filepath.Join(dir, "processor.wat")
	text := `(module
		(import "decaton" "poll_task" (func (param i64 i32) (result i32)))
		(memory (export "memory") 1)
		(func (export "run")))`
	if err := os.WriteFile(module, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string(nil), args...)
	for i, arg := range args {
		switch {
		case arg == in.bootstrap:
			args[i] = closedPort(t)
		case arg == in.processor:
			args[i] = module
		case strings.HasPrefix(arg, "--metrics-addr="):
			args[i] = "--metrics-addr=127.0.0.1:0"
		case strings.HasPrefix(arg, "--dir="):
			if host, guest, ok := strings.Cut(strings.TrimPrefix(arg, "--dir="), "::"); ok && filepath.IsAbs(host) {
				args[i] = "--dir=" + dir + "::" + guest
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), wasmtonBinary(t), append(args, "--connect-timeout=100ms")...)
	cmd.Env = append([]string{}, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == brokerUnreachable {
		return nil
	}
	return fmt.Errorf("wasmton does not accept %q (%w): %s", args, err, stderr.String())
}

// closedPort returns a loopback address on which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
