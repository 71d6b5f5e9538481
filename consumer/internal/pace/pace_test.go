package pace

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPace(t *testing.T) {
	type ran struct {
		n    int // 0: as many as Size says
		took time.Duration
	}
	for name, c := range map[string]struct {
		batches []ran
		want    int
	}{
		"begins with one":               {nil, 1},
		"doubles while it is quick":     {[]ran{{0, 0}, {0, time.Microsecond}, {0, time.Microsecond}}, 8},
		"goes to what fits the target":  {[]ran{{0, 10 * time.Microsecond}, {0, 20 * time.Microsecond}, {0, 400 * time.Microsecond}}, 8},
		"stays where it fits":           {[]ran{{0, 0}, {0, 0}, {4, time.Millisecond}}, 4},
		"shrinks by measure":            {[]ran{{0, 0}, {0, 0}, {0, 0}, {8, 2 * time.Millisecond}}, 4},
		"one slow batch, one at a time": {[]ran{{0, 0}, {0, 0}, {0, 0}, {0, 0}, {16, Slow}}, 1},
		"a short queue is no reason":    {[]ran{{0, 0}, {0, 0}, {1, 0}, {1, 0}}, 4},
		"but a reason to shrink":        {[]ran{{0, 0}, {0, 0}, {1, time.Millisecond}}, 1},
		"never below one":               {[]ran{{0, 3 * time.Millisecond}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var p Pace
			for _, b := range c.batches {
				n := b.n
				if n == 0 {
					n = p.Size()
				}
				p.Ran(n, b.took)
			}
			if got := p.Size(); got != c.want {
				t.Errorf("the size is %d, want %d", got, c.want)
			}
		})
	}
}

func TestPaceGrowsToMaxInTenBatches(t *testing.T) {
	var p Pace
	for range 10 {
		p.Ran(p.Size(), time.Microsecond)
	}
	if p.Size() != Max {
		t.Errorf("the size is %d", p.Size())
	}
	p.Ran(Max, 0)
	if p.Size() != Max {
		t.Errorf("the size is %d", p.Size())
	}
}

// Whatever the times are, sizes stay in range, and records of constant cost end at
// batches that take about the target.
func TestPaceSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Pace
		for range rapid.IntRange(0, 30).Draw(t, "batches") {
			n := rapid.IntRange(1, p.Size()).Draw(t, "n")
			p.Ran(n, time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "took")))
			if s := p.Size(); s < 1 || s > Max {
				t.Fatalf("the size is %d", s)
			}
		}
		each := time.Duration(rapid.Int64Range(1, int64(Target)).Draw(t, "each"))
		for range 20 {
			p.Ran(p.Size(), time.Duration(p.Size())*each)
		}
		took := time.Duration(p.Size()) * each
		if took > Target || took < Target/2 && p.Size() < Max {
			t.Fatalf("batches of %d take %v", p.Size(), took)
		}
	})
}
