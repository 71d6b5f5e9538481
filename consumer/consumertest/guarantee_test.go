package consumertest

import (
	"context"
	"strings"
	"testing"

	"github.com/wasmton/wasmton/processor"
)

// story makes a history by hand. Offsets 0 to 5 of partition 0 have the keys
// a b a b a b.
type story struct {
	*History
	t *testing.T
}

func tell(t *testing.T, skips bool) story {
	h := NewHistory()
	h.SkipsFailures = skips
	for o := range int64(6) {
		h.Produced(0, o, []byte{"ab"[o%2]})
	}
	return story{h, t}
}

// member returns what runs records of one lane: outcomes by offset.
func (s story) member(name string) func(kind processor.Kind, offsets ...int64) {
	p := s.lane(name, nil)
	return func(kind processor.Kind, offsets ...int64) {
		for _, o := range offsets {
			batch := []processor.Record{{Offset: o, Key: []byte{"ab"[o%2]}}}
			p.Process(context.WithValue(s.t.Context(), kindKey{}, kind), batch, make([]processor.Outcome, 1))
		}
	}
}

type kindKey struct{}

// lane returns a watched processor; while it runs, meanwhile is called.
func (s story) lane(name string, meanwhile func()) processor.Processor {
	s.t.Helper()
	p, err := s.Watch(name, told{meanwhile}).New(s.t.Context(), processor.Lane{})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

type told struct{ meanwhile func() }

func (t told) New(context.Context, processor.Lane) (processor.Processor, error) { return t, nil }

func (t told) Process(ctx context.Context, _ []processor.Record, outcomes []processor.Outcome) {
	if t.meanwhile != nil {
		t.meanwhile()
	}
	kind, ok := ctx.Value(kindKey{}).(processor.Kind)
	if !ok {
		kind = processor.Done
	}
	outcomes[0].Kind = kind
}

func (told) Close() error { return nil }

func TestGuarantees(t *testing.T) {
	const done, failed = processor.Done, processor.Failed
	for name, c := range map[string]struct {
		skips  bool
		happen func(s story)
		breaks []string // how each complaint begins
	}{
		"all is well": {
			happen: func(s story) {
				s.member("m")(done, 0, 1, 2, 3, 4, 5)
				s.Committing("m", 0, 6)
			},
		},
		"keys are apart": {
			happen: func(s story) {
				s.member("lane of b")(done, 1, 3, 5)
				s.member("lane of a")(done, 0, 2, 4)
			},
		},
		"another member goes on from what was committed": {
			happen: func(s story) {
				s.member("m")(done, 0, 1, 2, 3)
				s.Committing("m", 0, 2)
				s.member("n")(done, 2, 3, 4, 5)
			},
		},
		"a record is left out": {
			happen: func(s story) { s.member("m")(done, 0, 1, 2, 3, 4) },
			breaks: []string{"at least once: of partition 0, [5] were never finished"},
		},
		"a failure does not finish a record": {
			happen: func(s story) {
				s.member("m")(done, 0, 1, 2, 3, 4)
				s.member("m")(failed, 5)
			},
			breaks: []string{"at least once: of partition 0, [5]"},
		},
		"but it does where failures are skipped": {
			skips: true,
			happen: func(s story) {
				run := s.member("m")
				run(failed, 0, 1)
				run(done, 2, 3, 4, 5)
				s.Committing("m", 0, 6)
			},
		},
		"a record is overtaken": {
			happen: func(s story) {
				s.member("m")(done, 0, 1)
				s.member("n")(done, 4, 3, 5)
				s.member("o")(done, 2)
			},
			breaks: []string{
				"order by key: processor 2 of n went back from 4 to 3",
				`order by key: 4 of partition 0 ran on n before 2, which has the same key "a"`,
			},
		},
		"a failed record is overtaken": {
			happen: func(s story) {
				run := s.member("m")
				run(failed, 0)
				run(done, 1, 2, 3, 4, 5)
				s.member("n")(done, 0)
			},
			breaks: []string{`order by key: 2 of partition 0 ran on m before 0`},
		},
		"a processor goes back": {
			happen: func(s story) { s.member("m")(done, 0, 1, 2, 3, 2, 3, 4, 5) },
			breaks: []string{"order by key: processor 1 of m went back from 3 to 2"},
		},
		"two of a key at a time": {
			happen: func(s story) {
				other := s.lane("n", nil)
				s.lane("m", func() {
					other.Process(s.t.Context(), []processor.Record{{Offset: 2, Key: []byte("a")}}, make([]processor.Outcome, 1))
				}).Process(s.t.Context(), []processor.Record{{Offset: 0, Key: []byte("a")}}, make([]processor.Outcome, 1))
				s.member("o")(done, 1, 2, 3, 4, 5)
			},
			breaks: []string{
				`order by key: 2 of partition 0 ran on n before 0`,
				`one at a time by key: /0@2 with key "a" began while another record of that key ran`,
			},
		},
		"two without a key at a time": {
			happen: func(s story) {
				s.Hidden(0, 0)
				other := s.lane("n", nil)
				s.lane("m", func() {
					other.Process(s.t.Context(), []processor.Record{{Offset: 2}}, make([]processor.Outcome, 1))
				}).Process(s.t.Context(), []processor.Record{{Offset: 0}}, make([]processor.Outcome, 1))
			},
		},
		"a commit runs ahead": {
			happen: func(s story) {
				run := s.member("m")
				run(done, 0, 1, 2)
				s.Committing("m", 0, 4)
				run(done, 3, 4, 5)
				s.Committing("m", 0, 6)
			},
			breaks: []string{"commits stay behind: m committed 4 of partition 0, and [3] below it were not finished"},
		},
		"a commit passes records that are gone": {
			happen: func(s story) {
				s.Gone(0, 3)
				s.member("m")(done, 3, 4, 5)
				s.Committing("m", 0, 6)
			},
		},
		"a record runs in a lane of another partition": {
			happen: func(s story) {
				s.member("m")(done, 0, 1, 2, 3, 4, 5)
				s.lane("m", nil).Process(s.t.Context(), []processor.Record{{Partition: 7}}, make([]processor.Outcome, 1))
			},
			breaks: []string{"order by key: /7@0 ran in a lane of partition 0"},
		},
		"a processor runs after it was closed": {
			happen: func(s story) {
				s.member("m")(done, 0, 1, 2, 3, 4, 5)
				p := s.lane("m", nil)
				_ = p.Close()
				_ = p.Close()
				p.Process(s.t.Context(), []processor.Record{{Offset: 99}}, make([]processor.Outcome, 1))
			},
			breaks: []string{"order by key: processor 2 was closed twice", "order by key: processor 2 ran after it was closed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := tell(t, c.skips)
			c.happen(s)
			broken := s.Broken(All...)
			for _, want := range c.breaks {
				if !containsPrefix(broken, want) {
					t.Errorf("nothing says %q", want)
				}
			}
			if len(c.breaks) == 0 && len(broken) > 0 {
				t.Error("complaints without a reason")
			}
			if t.Failed() {
				t.Log(strings.Join(broken, "\n"))
			}
		})
	}
}

func containsPrefix(lines []string, prefix string) bool {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			return true
		}
	}
	return false
}

// A guarantee that a test gives up is not asked for.
func TestBrokenNamesOnlyWhatIsAskedFor(t *testing.T) {
	s := tell(t, false)
	s.Committing("m", 0, 4)
	if b := s.Broken(CommitsBehind); len(b) != 1 {
		t.Errorf("%q", b)
	}
	if b := s.Broken(OneAtATime, KeyOrder); len(b) != 0 {
		t.Errorf("%q", b)
	}
	if b := s.Broken(AtLeastOnce); len(b) != 1 {
		t.Errorf("%q", b)
	}
}
