package consumer

import "github.com/twmb/franz-go/pkg/kgo"

// queue holds records in order. Whole slices go in as polls give them, so that a
// partition with one lane copies no record; with several lanes they go in one by
// one. It is not safe for concurrent use.
type queue struct {
	chunks [][]*kgo.Record // from first on; never an empty one
	first  int
	head   int // of the first chunk, what was dropped
	n      int
	spare  []*kgo.Record // a chunk to use again
}

const queueChunk = 64

func (q *queue) len() int { return q.n }

// pushAll appends recs and keeps the slice.
func (q *queue) pushAll(recs []*kgo.Record) {
	if len(recs) > 0 {
		q.chunks = append(q.chunks, recs)
		q.n += len(recs)
	}
}

func (q *queue) push(r *kgo.Record) {
	q.n++
	if last := len(q.chunks) - 1; last >= q.first && len(q.chunks[last]) < cap(q.chunks[last]) {
		q.chunks[last] = append(q.chunks[last], r)
		return
	}
	chunk := q.spare
	if q.spare = nil; chunk == nil {
		chunk = make([]*kgo.Record, 0, queueChunk)
	}
	q.chunks = append(q.chunks, append(chunk, r))
}

// peek appends to dst the first records, at most n, and only those below an offset.
func (q *queue) peek(dst []*kgo.Record, n int, below int64) []*kgo.Record {
	head := q.head
	for _, chunk := range q.chunks[q.first:] {
		chunk = chunk[head:min(len(chunk), head+n)]
		head = 0
		if len(chunk) == 0 {
			break
		}
		if chunk[len(chunk)-1].Offset >= below {
			for _, r := range chunk {
				if r.Offset >= below {
					return dst
				}
				dst = append(dst, r)
			}
		}
		dst = append(dst, chunk...)
		n -= len(chunk)
	}
	return dst
}

// drop forgets the first n records.
func (q *queue) drop(n int) {
	q.n -= n
	for n > 0 {
		chunk := q.chunks[q.first]
		left := len(chunk) - q.head
		if n < left {
			clear(chunk[q.head : q.head+n])
			q.head += n
			return
		}
		n -= left
		clear(chunk[q.head:])
		q.head = 0
		if cap(chunk) == queueChunk {
			q.spare = chunk[:0]
		}
		q.chunks[q.first] = nil
		q.first++
	}
	// Move down what is left before append has to make a new slice, and seldom enough
	// to cost nothing.
	if 2*q.first >= len(q.chunks) {
		n := copy(q.chunks, q.chunks[q.first:])
		clear(q.chunks[n:])
		q.chunks, q.first = q.chunks[:n], 0
	}
}

// front returns the first record.
func (q *queue) front() *kgo.Record { return q.chunks[q.first][q.head] }
