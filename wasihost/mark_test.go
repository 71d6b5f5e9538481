package wasihost

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// growing is a guest that grows by as many pages as the task's first byte says,
// counted from '0'; its run returns the second byte, counted alike.
const growing = `(module
  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "run") (result i32)
    (drop (call $poll (i64.const 8) (i32.const 2)))
    (drop (memory.grow (i32.sub (i32.load8_u (i32.const 8)) (i32.const 48))))
    (i32.sub (i32.load8_u (i32.const 9)) (i32.const 48))))`

// Drive stops between two tasks, after the one that went past the mark.
func TestDriveStopsPastTheMark(t *testing.T) {
	const page = 64 << 10
	for _, test := range []struct {
		mark     int64
		tasks    []string
		n        int
		outgrown bool
	}{
		{0, []string{"90", "90", "90"}, 3, false},
		{4 * page, []string{"10", "10", "00"}, 3, false}, // up to the mark is fine
		{4 * page, []string{"10", "20", "00", "00"}, 2, true},
		{4*page + 1, []string{"10", "20", "00", "00"}, 2, true},
		{5*page - 1, []string{"10", "20", "00", "00"}, 2, true},
		{4 * page, []string{"10", "20"}, 2, true}, // nothing is left to say it about
		{2 * page, []string{"00", "10", "00"}, 2, true},
		{2*page - 1, []string{"00", "10", "00"}, 3, false}, // past it from the start
		{1 << 62, []string{"90", "90"}, 2, false},
	} {
		t.Run(fmt.Sprint(test.mark, test.tasks), func(t *testing.T) {
			in := guest(t, growing, &Config{MemoryMark: test.mark})
			n, err := drive(in, test.tasks...)
			want := error(nil)
			if test.n < len(test.tasks) {
				want = ErrOutgrown
			}
			if n != test.n || err != want || in.Outgrown() != test.outgrown {
				t.Errorf("%d done, %v, outgrown %v; want %d, %v, %v", n, err, in.Outgrown(), test.n, want, test.outgrown)
			}
			if !in.Alive() {
				t.Error("the instance is dead")
			}
		})
	}
}

// A failure is not hidden by the mark, and each further Drive gets one task done.
func TestPastTheMarkFailuresAreTold(t *testing.T) {
	in := guest(t, growing, &Config{MemoryMark: 3 * 64 << 10})
	n, err := drive(in, "97", "00")
	if result, ok := errors.AsType[*ResultError](err); n != 0 || !ok || result.Code != 7 {
		t.Errorf("%d done, %v; want a result of 7", n, err)
	}
	for range 3 {
		if n, err := drive(in, "00", "00"); n != 1 || !errors.Is(err, ErrOutgrown) {
			t.Errorf("%d done, %v; want 1 and ErrOutgrown", n, err)
		}
	}
}

// The mark counts in the batches of one Drive that take several crossings.
func TestTheMarkHoldsOverCrossings(t *testing.T) {
	in := guest(t, growing, &Config{MemoryMark: 3 * 64 << 10})
	tasks := make([][]byte, 5*maxBatch)
	for i := range tasks {
		tasks[i] = []byte("00")
	}
	tasks[3*maxBatch-1] = []byte("90")
	n, err := in.Drive(context.Background(), tasks)
	if n != 3*maxBatch || !errors.Is(err, ErrOutgrown) {
		t.Errorf("%d done, %v; want %d and ErrOutgrown", n, err, 3*maxBatch)
	}
}
