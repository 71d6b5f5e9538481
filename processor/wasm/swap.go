package wasm

import (
	"context"
	"errors"

	"github.com/wasmton/wasmton/wasihost"
)

// Swap puts another guest in the place of the one at work, under the same Config.
// First it checks the guest and makes an instance of it, beside the others and if
// need be one above MaxInstances. Where that fails nothing has changed, and the error
// is the one that New would give. Then each lane goes over at the end of its batch,
// an idle one at once, and the instances of the old guest are closed; what they had
// in memory is gone. A batch that begins after Swap has returned runs in the new
// guest.
//
// The Module takes both guests over: the one that is replaced is closed, and its code
// freed when its last instance is. A guest that is at work already changes nothing.
// Swap is safe for concurrent use, and takes turns with itself.
func (m *Module) Swap(ctx context.Context, guest *wasihost.Module) error {
	m.swapping.Lock()
	defer m.swapping.Unlock()
	if m.closed {
		return errors.New("the module is closed")
	}
	if guest == m.guest.Load() {
		return nil
	}
	in, err := m.firstInstance(ctx, guest)
	if err != nil {
		return err
	}
	old := m.guest.Swap(guest)
	m.pool.change(in)
	old.Close()
	return nil
}

// Guest returns the guest at work.
func (m *Module) Guest() *wasihost.Module { return m.guest.Load() }

// firstInstance makes an instance of a guest that has none yet, to see that it can
// start at all.
func (m *Module) firstInstance(ctx context.Context, guest *wasihost.Module) (*instance, error) {
	if err := guest.Check(); err != nil {
		return nil, err
	}
	in, err := m.instanceOf(ctx, guest)
	if err != nil {
		return nil, err
	}
	if err := m.cfg.Recycle.admits(guest.Name(), in.MemoryUse()); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// stale reports whether another guest has taken the place of the instance's.
func (in *instance) stale() bool { return in.guest != in.module.guest.Load() }
