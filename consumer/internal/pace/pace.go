// Package pace decides how many records a lane hands over at once.
//
// Many at a time is cheap, but the records of one batch wait for each other: a
// batch is sized to about a millisecond of what records took lately. It is pure:
// times come in as arguments.
package pace

import "time"

const (
	// Target is the time that a batch should take.
	Target = time.Millisecond
	// Slow is what a batch may take before it counts as slow. One slow batch
	// brings the size down to 1: its neighbours were held up once, and shall not be
	// again. Growing back to Max takes ten batches.
	Slow = 4 * Target
	// Max is the most records of a batch.
	Max = 1024
)

// Pace is the pace of one lane. The zero value begins with batches of one record.
type Pace struct{ size int }

// Size returns how many records the next batch may have, 1 to [Max].
func (p *Pace) Size() int { return max(p.size, 1) }

// Ran says that a batch of n records took that long.
func (p *Pace) Ran(n int, took time.Duration) {
	size := p.Size()
	if took >= Slow {
		p.size = 1
		return
	}
	// What fits the target at the speed of this batch; at most twice as much, since
	// one quick batch says little about the next.
	fits := min(2*size, Max)
	if took > 0 {
		fits = min(fits, max(1, int(int64(n)*int64(Target)/int64(took))))
	}
	// A batch that was cut short by an empty queue is no reason to grow.
	if fits > size && n < size {
		return
	}
	p.size = fits
}
