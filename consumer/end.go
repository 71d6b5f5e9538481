package consumer

import (
	"context"
	"maps"
	"sync"
	"time"
)

// othersTick is how often UntilEnd asks for what other members committed.
const othersTick = time.Second

// ending waits until the group's offsets are where the partitions ended when Run
// began. Without UntilEnd there is nothing to wait for and it never comes.
type ending struct {
	reached chan struct{} // closed when the last goal is

	mu   sync.Mutex // guards open
	open map[int32]int64
}

// findGoals returns the end offset of each partition where something is left to do:
// the group is not there yet, and there is something between the beginning of the
// log and its end.
func (c *Consumer) findGoals(ctx context.Context, position map[int32]int64) (map[int32]int64, error) {
	// The ends first: what begins behind an end was cut off meanwhile.
	ends, err := patiently(ctx, c.listEnds)
	if err != nil {
		return nil, err
	}
	starts, err := patiently(ctx, c.listStarts)
	if err != nil {
		return nil, err
	}
	goals := make(map[int32]int64)
	for id, end := range ends {
		at, ok := position[id]
		if !ok || at < starts[id] {
			at = starts[id]
		}
		if at < end {
			goals[id] = end
		}
	}
	return goals, nil
}

func newEnding(goals map[int32]int64) *ending {
	e := &ending{reached: make(chan struct{}), open: make(map[int32]int64, len(goals))}
	maps.Copy(e.open, goals)
	return e
}

// committed says that the group's offset of a partition is at.
func (e *ending) committed(id int32, at int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	goal, ok := e.open[id]
	if !ok || at < goal {
		return
	}
	delete(e.open, id)
	if len(e.open) == 0 {
		close(e.reached)
	}
}

func (e *ending) left() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.open)
}

// watchOthers looks at what the whole group committed, until ctx ends: partitions
// that are not ours reach their ends by other members.
func (c *Consumer) watchOthers(ctx context.Context) {
	tick := time.NewTicker(othersTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		offsets, err := c.committedOffsets(ctx)
		if err != nil {
			c.log.Debug("the group's offsets can't be read", "error", err)
			continue
		}
		for id, at := range offsets {
			c.end.committed(id, at)
		}
	}
}
