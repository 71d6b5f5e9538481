package consumer

// SetPolled makes the poll loop call fn after each poll and before what was polled
// is admitted: the moment that the fence protects. Call it before Run.
func (c *Consumer) SetPolled(fn func(records int)) { c.polled = fn }
