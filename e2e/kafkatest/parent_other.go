//go:build !linux

package kafkatest

import "syscall"

// dieWithParent does nothing where the kernel offers nothing: a test that is
// killed leaves its brokers running.
func dieWithParent() *syscall.SysProcAttr { return nil }
