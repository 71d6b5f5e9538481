//go:build !linux

package wasihost

import "golang.org/x/sys/unix"

// release lets the system take the pages of a mailbox when it needs them; until
// then they count as ours.
func release(pages []byte) {
	_ = unix.Madvise(pages, unix.MADV_FREE)
}
