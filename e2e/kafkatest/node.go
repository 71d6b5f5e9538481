package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/wasmton/wasmton/e2e/internal/child"
)

// clusterID is the same for all clusters: none of them ever meets another.
const clusterID = "d2FzbXRvbi1rYWZrYXRlcw"

// node is one Kafka process and its directory.
type node struct {
	id   int
	dir  string
	port int // for clients

	// cmd and done are those of the last start; done is closed when it has ended.
	cmd  *exec.Cmd
	done <-chan struct{}
}

func (n *node) address() string    { return fmt.Sprintf("127.0.0.1:%d", n.port) }
func (n *node) properties() string { return filepath.Join(n.dir, "server.properties") }
func (n *node) log() string        { return filepath.Join(n.dir, "log") }
func (n *node) pidFile() string    { return filepath.Join(n.dir, "pid") }

func (n *node) configure(properties string) error {
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	return errors.Join(
		os.WriteFile(n.properties(), []byte(properties), 0o644),
		os.WriteFile(filepath.Join(n.dir, "log4j2.properties"), []byte(logging), 0o644))
}

func (n *node) java(classpath string, args ...string) []string {
	return append([]string{
		"-cp", classpath,
		"-Dlog4j2.configurationFile=" + filepath.Join(n.dir, "log4j2.properties"),
		"-Djava.net.preferIPv4Stack=true",
	}, args...)
}

// format writes the node's empty storage, unless it has been written before.
func (n *node) format(ctx context.Context, classpath string) error {
	if _, err := os.Stat(filepath.Join(n.dir, "data", "meta.properties")); err == nil {
		return nil
	}
	if _, err := exec.LookPath("java"); err != nil {
		return errors.New("kafkatest: Java (java, version 17 or newer) is needed to run a broker, and is not on the PATH")
	}
	cmd := exec.CommandContext(ctx, "java", n.java(classpath, "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool",
		"format", "--cluster-id", clusterID, "--config", n.properties(), "--ignore-formatted")...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kafkatest: node %d: formatting its storage: %w\n%s", n.id, err, tail(said, 20))
	}
	return nil
}

// start starts the process. It may not be called while one runs.
func (n *node) start(classpath string, heapMB int, detach bool) error {
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	defer log.Close()
	heap := strconv.Itoa(heapMB) + "m"
	cmd := exec.Command("java", n.java(classpath, "-Xms"+heap, "-Xmx"+heap, "kafka.Kafka", n.properties())...)
	cmd.Stdout, cmd.Stderr = log, log
	n.cmd = cmd
	if detach {
		err = n.startDetached()
	} else {
		n.done, err = child.Start(cmd)
	}
	if err != nil {
		return fmt.Errorf("kafkatest: node %d: %w", n.id, err)
	}
	if err := os.WriteFile(n.pidFile(), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil {
		return errors.Join(fmt.Errorf("kafkatest: %w", err), n.kill())
	}
	return nil
}

// startDetached starts the process in a session of its own, where neither the
// terminal's signals nor our end reach it.
func (n *node) startDetached() error {
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	n.done = done
	// Ends with the node or with this process: nobody is left to wait for it.
	go func() {
		defer close(done)
		_ = n.cmd.Wait() // how a broker ends is told by its log
	}()
	return nil
}

func (n *node) alive() bool {
	if n.done == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

func (n *node) kill() error {
	if !n.alive() {
		return nil
	}
	err := n.cmd.Process.Kill()
	<-n.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func (n *node) stop(timeout time.Duration) error {
	if !n.alive() {
		return nil
	}
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kafkatest: node %d: %w", n.id, err)
	}
	select {
	case <-n.done:
		return nil
	case <-time.After(timeout):
		return errors.Join(n.failed(fmt.Sprintf("did not stop in %v and was killed", timeout)), n.kill())
	}
}

// failed makes an error of what happened to the node and its last words.
func (n *node) failed(what string) error {
	said, err := os.ReadFile(n.log())
	if err != nil {
		said = []byte(err.Error())
	}
	return fmt.Errorf("kafkatest: node %d at %s %s; the end of its log:\n%s", n.id, n.address(), what, tail(said, 20))
}
