package wasihost

import (
	"context"
	"strings"
	"testing"

	"github.com/wasmton/wasmton/wasihost/shim"
)

func TestTheMailboxIsGivenBackAfterALargeTask(t *testing.T) {
	in := guest(t, pollingGuest, nil)
	large := []byte(strings.Repeat("x", 1<<20))
	if _, err := in.Drive(context.Background(), [][]byte{large}); err != nil {
		t.Fatal(err)
	}
	// What was given back reads as zeros; the first page stays.
	if held := strings.Count(string(in.box[shim.PageSize:]), "x"); held != 0 {
		t.Errorf("%d bytes of the task are still held", held)
	}
	if in.box[shim.PageSize-1] != 'x' || in.box.word(shim.Tasks) != 1<<20 {
		t.Error("the first page of the mailbox was given back too")
	}
}
