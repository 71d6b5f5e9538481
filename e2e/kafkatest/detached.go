package kafkatest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Running returns the process ids of the nodes in dir that run, whoever started
// them.
func Running(dir string) ([]int, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("kafkatest: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "node*", "pid"))
	if err != nil {
		return nil, fmt.Errorf("kafkatest: %w", err)
	}
	var pids []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("kafkatest: %w", err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, fmt.Errorf("kafkatest: %s: %w", file, err)
		}
		n := node{dir: filepath.Dir(file)}
		if n.runsAs(pid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// runsAs reports whether pid is a process of this very node. After a crash of the
// machine its pid may have become another program's.
func (n *node) runsAs(pid int) bool {
	command, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.HasSuffix(strings.TrimSpace(string(command)), "kafka.Kafka "+n.properties())
}

// Down stops the nodes in dir that were started with Config.Detach, and leaves
// their data. It returns how many ran.
func Down(dir string) (int, error) {
	pids, err := Running(dir)
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return len(pids), fmt.Errorf("kafkatest: process %d: %w", pid, err)
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(stopTimeout)
	for {
		left, err := Running(dir)
		if err != nil || len(left) == 0 {
			return len(pids), err
		}
		select {
		case <-tick.C:
		case <-deadline:
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			return len(pids), fmt.Errorf("kafkatest: %d nodes did not stop in %v and were killed", len(left), stopTimeout)
		}
	}
}
