package consumer

import "github.com/twmb/franz-go/pkg/kgo"

// scheduler knows which records wait and which of them a lane may run next. It is
// the one place that knows how keys are kept in order: here, by giving each key to
// one lane and each lane a queue. It is pure, and guarded by its partition's lock.
//
// A lane asks with ready, runs what it got, and says with settled how much of it is
// finished; the rest comes again, first. So a record leaves the scheduler only when
// nobody needs it any more.
type scheduler struct {
	lanes []queue
	turn  int // the lane to look at first for a record without a key
}

func newScheduler(lanes int) scheduler { return scheduler{lanes: make([]queue, lanes)} }

// push adds records, in order, and keeps the slice. It appends to woken the lanes
// that had nothing and have something now.
func (s *scheduler) push(recs []*kgo.Record, woken []int) []int {
	if len(s.lanes) == 1 {
		if s.lanes[0].len() == 0 && len(recs) > 0 {
			woken = append(woken, 0)
		}
		s.lanes[0].pushAll(recs)
		return woken
	}
	for _, r := range recs {
		var lane int
		if r.Key != nil {
			lane = laneOf(r.Key, len(s.lanes))
		} else {
			lane = s.anyLane()
		}
		if s.lanes[lane].len() == 0 {
			woken = append(woken, lane)
		}
		s.lanes[lane].push(r)
	}
	return woken
}

// anyLane picks a lane for a record without a key: the shorter of two, which go
// round. A lane that is stuck thus stops getting more, at the cost of two looks
// rather than one at each lane.
func (s *scheduler) anyLane() int {
	a := s.turn
	b := (a + 1 + len(s.lanes)/2) % len(s.lanes)
	s.turn = (s.turn + 1) % len(s.lanes)
	if s.lanes[b].len() < s.lanes[a].len() {
		return b
	}
	return a
}

// ready appends to dst what the lane may run now: at most n records, in order, all
// of them below an offset.
func (s *scheduler) ready(dst []*kgo.Record, lane, n int, below int64) []*kgo.Record {
	return s.lanes[lane].peek(dst, n, below)
}

// settled says that the first n records of the lane are finished.
func (s *scheduler) settled(lane, n int) { s.lanes[lane].drop(n) }

// clear takes everything out and calls fn for each record.
func (s *scheduler) clear(fn func(*kgo.Record)) {
	for i := range s.lanes {
		q := &s.lanes[i]
		for q.len() > 0 {
			fn(q.front())
			q.drop(1)
		}
		q.spare = nil
	}
}
