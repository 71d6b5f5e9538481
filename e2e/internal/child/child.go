// Package child starts processes that tests must not leave behind.
package child

import (
	"os/exec"
	"runtime"
)

// Start starts cmd and waits for its end, which closes done; cmd.ProcessState then
// tells how it ended. On Linux the kernel kills the process when this one ends, be
// it by a signal or a test's time limit.
func Start(cmd *exec.Cmd) (done <-chan struct{}, err error) {
	dieWithParent(cmd)
	ended, started := make(chan struct{}), make(chan error)
	// Whoever waits for done waits for this goroutine. It keeps its thread, because
	// the kernel takes the thread that started a process for its parent, and Go
	// ends idle threads.
	go func() {
		runtime.LockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // told by cmd.ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return ended, nil
}
