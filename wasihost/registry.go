package wasihost

import "sync"

// registry knows the live instances of the process by number. A host function is
// given the number by the shim: it can hold no pointer to Go, and what it captured
// would never be freed.
var registry struct {
	sync.RWMutex
	slots []*Instance
	free  []uint32
}

// register gives the instance its number.
func register(in *Instance) {
	registry.Lock()
	defer registry.Unlock()
	if n := len(registry.free); n > 0 {
		in.number = registry.free[n-1]
		registry.free = registry.free[:n-1]
		registry.slots[in.number] = in
		return
	}
	in.number = uint32(len(registry.slots))
	registry.slots = append(registry.slots, in)
}

func unregister(in *Instance) {
	registry.Lock()
	defer registry.Unlock()
	registry.slots[in.number] = nil
	registry.free = append(registry.free, in.number)
}

// lookup returns nil for a number that is not in use.
func lookup(number uint32) *Instance {
	registry.RLock()
	defer registry.RUnlock()
	if int(number) >= len(registry.slots) {
		return nil
	}
	return registry.slots[number]
}

// live returns how many instances there are.
func live() int {
	registry.RLock()
	defer registry.RUnlock()
	return len(registry.slots) - len(registry.free)
}

// anyRunning reports whether a guest of the engine runs.
func anyRunning(e *Engine) bool {
	registry.RLock()
	defer registry.RUnlock()
	for _, in := range registry.slots {
		if in != nil && in.engine == e && in.running.Load() {
			return true
		}
	}
	return false
}
