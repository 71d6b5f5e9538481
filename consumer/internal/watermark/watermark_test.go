package watermark

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestLife replays testdata/life.txt, which reads as documentation.
func TestLife(t *testing.T) {
	f, err := os.Open("testdata/life.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var w *Watermark
	lines := 0
	for in := bufio.NewScanner(f); in.Scan(); {
		lines++
		line := strings.TrimSpace(in.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		call, arg, _ := strings.Cut(line, " ")
		switch call {
		case "at":
			_, b := offsets(t, arg)
			w = New(b)
		case "track":
			w.Track(offsets(t, arg))
		case "done":
			w.Done(offsets(t, arg))
		case "skip":
			_, b := offsets(t, arg)
			w.Skip(b)
		case "=":
			if got := fmt.Sprintf("at %d end %d pending %d", w.At(), w.End(), w.Pending()); got != arg {
				t.Errorf("line %d: %s, want %s", lines, got, arg)
			}
		default:
			t.Fatalf("line %d: %q", lines, line)
		}
	}
	if lines < 50 {
		t.Fatalf("%d lines: the file is not whole", lines)
	}
}

func offsets(t *testing.T, s string) (a, b int64) {
	t.Helper()
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	if _, err := fmt.Sscan(from, &a); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(to, &b); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// naive is a Watermark that anybody can check by reading it.
type naive struct {
	end     int64
	pending map[int64]bool
}

func (n *naive) at() int64 {
	at := n.end
	for o := range n.pending {
		at = min(at, o)
	}
	return at
}

func (n *naive) track(first, last int64) {
	for o := first; o <= last; o++ {
		n.pending[o] = true
	}
	n.end = last + 1
}

func (n *naive) done(first, last int64) (cleared int64) {
	for o := first; o <= last; o++ {
		if n.pending[o] {
			delete(n.pending, o)
			cleared++
		}
	}
	return cleared
}

func (n *naive) skip(to int64) { n.end = max(n.end, to) }

// run drives both by choices that something makes: rapid or the fuzzer.
func run(t interface{ Fatalf(string, ...any) }, start int64, steps int, choose func(n int64) int64) {
	w, n := New(start), &naive{end: start, pending: map[int64]bool{}}
	for range steps {
		switch choose(4) {
		case 0:
			gap := int64(0)
			if choose(4) == 0 {
				gap = choose(300)
			}
			first := w.End() + gap
			last := first + choose(200)
			w.Track(first, last)
			n.track(first, last)
		case 1, 2:
			span := w.End() - w.At() + 20
			first := w.At() - 10 + choose(span)
			last := first + choose(150)
			got, want := w.Done(first, last), n.done(first, last)
			if got != want {
				t.Fatalf("Done(%d, %d) = %d, want %d", first, last, got, want)
			}
		case 3:
			to := w.End() - 5 + choose(100)
			w.Skip(to)
			n.skip(to)
		}
		if w.At() != n.at() || w.End() != n.end || w.Pending() != int64(len(n.pending)) {
			t.Fatalf("at %d end %d pending %d, want at %d end %d pending %d",
				w.At(), w.End(), w.Pending(), n.at(), n.end, len(n.pending))
		}
	}
	// All words out of the window are zero: that is what reuse rests on.
	bits := int64(0)
	for _, word := range w.words {
		for ; word != 0; word &= word - 1 {
			bits++
		}
	}
	if bits != w.Pending() {
		t.Fatalf("%d bits are set for %d pending", bits, w.Pending())
	}
}

func TestAgainstTheNaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Int64Range(0, 1<<40).Draw(t, "start")
		run(t, start, 200, func(n int64) int64 { return rapid.Int64Range(0, n-1).Draw(t, "choice") })
	})
}

func FuzzAgainstTheNaiveTwin(f *testing.F) {
	f.Add(int64(0), []byte{0, 100, 1, 5, 1, 0, 3, 50})
	f.Add(int64(63), []byte{0, 0, 199, 0, 0, 199, 1, 9, 149, 1, 30, 149})
	f.Add(int64(1)<<40, []byte{3, 99, 0, 3, 7, 2, 2, 2, 0, 1, 1, 1})
	f.Fuzz(func(t *testing.T, start int64, choices []byte) {
		if start < 0 || start > 1<<60 {
			return
		}
		i := 0
		run(t, start, len(choices)/2, func(n int64) int64 {
			b := choices[i%len(choices)]
			i++
			return int64(b) * n / 256
		})
	})
}

func TestTheSpanIsBounded(t *testing.T) {
	for _, start := range []int64{0, 1, 63, 64, 1_000_003} {
		w := New(start)
		w.Track(start, start)
		limit := w.Limit(w.End())
		if span := limit - start + 1; span > Span || span <= Span-64 {
			t.Errorf("from %d, %d offsets fit, want about %d", start, span, Span)
		}
		w.Track(start+1, limit)
		if got := w.Limit(w.End()); got >= w.End() {
			t.Errorf("full, and %d more fit", got-w.End()+1)
		}
		if n := w.Done(start+1, limit); n != limit-start {
			t.Errorf("%d were done, want %d", n, limit-start)
		}
		if w.At() != start {
			t.Errorf("at %d past what is pending at %d", w.At(), start)
		}
		w.Done(start, start)
		if w.At() != limit+1 || w.Pending() != 0 {
			t.Errorf("at %d, %d pending, want at %d and none", w.At(), w.Pending(), limit+1)
		}
		// With nothing pending, any gap fits.
		far := limit + 10*Span
		if got := w.Limit(far); got < far+Span-64 {
			t.Errorf("from %d only up to %d fits", far, got)
		}
		w.Track(far, far+100)
		if w.At() != far {
			t.Errorf("at %d, want %d", w.At(), far)
		}
	}
}

func TestTrackPanicsRatherThanLoseARecord(t *testing.T) {
	for name, track := range map[string]func(w *Watermark){
		"below the end":  func(w *Watermark) { w.Track(5, 20) },
		"an empty range": func(w *Watermark) { w.Track(20, 19) },
		"beyond the span": func(w *Watermark) {
			w.Track(10+Span+64, 10+Span+64)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(0)
			w.Track(0, 9)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			track(w)
		})
	}
}

func BenchmarkInOrder(b *testing.B) {
	w := New(0)
	at := int64(0)
	for b.Loop() {
		w.Track(at, at+999)
		w.Done(at, at+999)
		at += 1000
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}

// One record in turn is late by a whole window: each Done is a single bit, and the
// watermark jumps.
func BenchmarkOutOfOrder(b *testing.B) {
	const window = 100_000
	order := rand.New(rand.NewPCG(1, 2)).Perm(window)
	w := New(0)
	at := int64(0)
	for b.Loop() {
		w.Track(at, at+window-1)
		for _, o := range order {
			w.Done(at+int64(o), at+int64(o))
		}
		at += window
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/window, "ns/record")
}
