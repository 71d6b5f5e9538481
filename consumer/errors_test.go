package consumer_test

import (
	"errors"
	"testing"

	"github.com/wasmton/wasmton/consumer"
)

// The hash is the one that sha256sum gives, so that whoever has a key can tell.
func TestAFailureNamesItsKeyByAHash(t *testing.T) {
	for _, c := range []struct {
		key        []byte
		hash, text string
	}{
		{nil, "", "orders/3@812 failed: bad"},
		{[]byte{}, "sha256:e3b0c44298fc1c14", "orders/3@812 failed (key sha256:e3b0c44298fc1c14): bad"},
		{[]byte("key-1"), "sha256:be2974546978e373", "orders/3@812 failed (key sha256:be2974546978e373): bad"},
	} {
		err := &consumer.RecordError{Topic: "orders", Partition: 3, Offset: 812, Key: c.key, Err: errors.New("bad")}
		if err.KeyHash() != c.hash || err.Error() != c.text {
			t.Errorf("%q: %q, %q; want %q, %q", c.key, err.KeyHash(), err, c.hash, c.text)
		}
	}
}
