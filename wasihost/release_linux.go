package wasihost

import "golang.org/x/sys/unix"

// release gives the pages of a mailbox back to the system. They read as zeros
// afterwards.
func release(pages []byte) {
	// It fails for addresses that are not mapped or locked; these are neither.
	_ = unix.Madvise(pages, unix.MADV_DONTNEED)
}
