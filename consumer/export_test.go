package consumer

import "github.com/twmb/franz-go/pkg/kgo"

// SetPolled makes the poll loop call fn after each poll and before what was polled
// is admitted: the moment that the fence protects. Call it before Run.
func (c *Consumer) SetPolled(fn func(records int)) { c.polled = fn }

// Pending returns how many records of a partition are pending, and whether it is
// paused.
func (c *Consumer) Pending(id int32) (int64, bool) {
	for _, p := range c.owned() {
		if p.id == id {
			g := p.gauges()
			return int64(g.pending), g.paused
		}
	}
	return 0, false
}

// Rewind makes the client read a partition again from an offset, as it does when a
// log was cut off.
func (c *Consumer) Rewind(id int32, offset int64) {
	c.fence.Lock()
	defer c.fence.Unlock()
	c.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{c.cfg.Topic: {id: {Epoch: -1, Offset: offset}}})
}
