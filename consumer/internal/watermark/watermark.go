// Package watermark answers one question about a partition: up to which offset
// is everything finished? That is the offset that may be committed.
//
// It is pure: no clock, no lock, no goroutine. The caller serializes.
package watermark

import (
	"fmt"
	"math/bits"
)

const (
	// Span is the most offsets that may lie between the watermark and the last
	// tracked offset while something is pending: 4 Mi, at half a mebibyte of bits.
	// A slow record thus holds back its commit, not its partition.
	Span = maxWords * 64

	maxWords = 1 << 16
	minWords = 1 << 4
)

// Watermark knows which offsets of a partition are pending.
//
// Pending offsets are bits, so that a range of offsets costs a word for 64 of
// them. Only offsets that were tracked have a bit: those that never reach us
// (compacted away, aborted, markers) need no entry and hold nothing back.
//
// Word w of the offsets lives at words[w mod len(words)], and the words in use
// are those from low's to the last tracked one. All others are zero: that is
// what lets the ring be reused and grown without bookkeeping.
type Watermark struct {
	low     int64 // the lowest pending offset; end if nothing is pending
	end     int64 // all that is known lies below
	pending int64 // bits that are set
	words   []uint64
}

// New returns a watermark at offset at: everything below is finished, nothing is
// known from there on.
func New(at int64) *Watermark {
	return &Watermark{low: at, end: at, words: make([]uint64, minWords)}
}

// At returns the watermark: every offset below it is finished or does not exist.
func (w *Watermark) At() int64 { return w.low }

// End returns the offset behind the last one that is known.
func (w *Watermark) End() int64 { return w.end }

// Pending returns how many offsets are pending.
func (w *Watermark) Pending() int64 { return w.pending }

// Limit returns the last offset that [Watermark.Track] takes of a range that
// begins at first. A result below first means that nothing fits until the
// watermark moves.
func (w *Watermark) Limit(first int64) int64 {
	from := w.low
	if w.pending == 0 {
		from = first
	}
	return (from>>6+maxWords)<<6 - 1
}

// Track makes the offsets first to last, both included, pending. They must lie at
// or above [Watermark.End], and within [Watermark.Limit]; Track panics otherwise,
// since a caller that does not ask first would lose records.
func (w *Watermark) Track(first, last int64) {
	if first < w.end || last < first || last > w.Limit(first) {
		panic(fmt.Sprintf("watermark: track %d to %d at watermark %d, end %d", first, last, w.low, w.end))
	}
	if w.pending == 0 {
		w.low = first // what lies between is no record
	}
	w.grow(last)
	w.each(first, last, func(word *uint64, mask uint64) { *word |= mask })
	w.pending += last - first + 1
	w.end = last + 1
}

// Done makes the offsets first to last, both included, finished, and returns how
// many of them were pending. Others are left alone, so it may be called twice.
func (w *Watermark) Done(first, last int64) int64 {
	first, last = max(first, w.low), min(last, w.end-1)
	if w.pending == 0 || last < first {
		return 0
	}
	var n int64
	// Behind the last tracked offset Skip may have moved end past the ring.
	last = min(last, (w.low>>6+int64(len(w.words)))<<6-1)
	w.each(first, last, func(word *uint64, mask uint64) {
		n += int64(bits.OnesCount64(*word & mask))
		*word &^= mask
	})
	w.pending -= n
	w.low = w.next()
	return n
}

// Skip says that no record lies between the end and offset to: whoever reads on
// begins there. It does nothing if to is not beyond the end.
func (w *Watermark) Skip(to int64) {
	if to <= w.end {
		return
	}
	w.end = to
	if w.pending == 0 {
		w.low = to
	}
}

// next returns the lowest pending offset at or above low, or end. It visits each
// word once in the life of a Watermark, so Done costs what it clears.
func (w *Watermark) next() int64 {
	if w.pending == 0 {
		return w.end
	}
	at := w.low >> 6
	word := w.words[at&int64(len(w.words)-1)] &^ (1<<(w.low&63) - 1)
	for word == 0 {
		at++
		word = w.words[at&int64(len(w.words)-1)]
	}
	return at<<6 + int64(bits.TrailingZeros64(word))
}

// each calls fn for each word that first to last touch, with the bits of that word.
func (w *Watermark) each(first, last int64, fn func(word *uint64, mask uint64)) {
	for at := first >> 6; at <= last>>6; at++ {
		mask := ^uint64(0)
		if at == first>>6 {
			mask &= ^uint64(0) << (first & 63)
		}
		if at == last>>6 {
			mask &= ^uint64(0) >> (63 - last&63)
		}
		fn(&w.words[at&int64(len(w.words)-1)], mask)
	}
}

// grow makes room for the words from low's to last's.
func (w *Watermark) grow(last int64) {
	from := w.low >> 6
	need := last>>6 - from + 1
	if need <= int64(len(w.words)) {
		return
	}
	old := w.words
	w.words = make([]uint64, 1<<bits.Len64(uint64(need-1)))
	for at := from; at < from+int64(len(old)); at++ {
		w.words[at&int64(len(w.words)-1)] = old[at&int64(len(old)-1)]
	}
}
