package kafkatest

import "syscall"

// dieWithParent has the kernel kill a node when the thread that started it ends,
// so that a test that is killed leaves no broker behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
