package wasihost

import (
	"context"
	"errors"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// An instance outlives its module, traps included, and no more can be made.
func TestACloseOfTheModuleLeavesItsInstances(t *testing.T) {
	m := compile(t, testEngine, `(module
	  (import "decaton" "poll_task" (func $poll (param i64 i32) (result i32)))
	  (memory (export "memory") 1)
	  (func $fails (if (i32.eq (i32.load8_u (i32.const 8)) (i32.const 33)) (then unreachable)))
	  (func (export "run") (drop (call $poll (i64.const 8) (i32.const 100))) (call $fails)))`)
	in := start(t, m, nil)
	m.Close()
	m.Close()
	if n, err := drive(in, "a", "b"); n != 2 || err != nil {
		t.Errorf("%d done, %v", n, err)
	}
	_, err := drive(in, "!")
	if trap, ok := errors.AsType[*TrapError](err); !ok || len(trap.Backtrace) != 2 || trap.Backtrace[0].Func != "fails" {
		t.Errorf("a trap afterwards: %v", err)
	}
	if _, err := m.Instantiate(context.Background(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("another instance: %v, want ErrClosed", err)
	}
}

// A module may be closed while others make instances of it: each gets an instance
// that works, or ErrClosed.
func TestACloseWhileInstancesAreMade(t *testing.T) {
	for range 20 {
		m := compile(t, testEngine, pollingGuest)
		var makers sync.WaitGroup
		begun := make(chan struct{}, 4)
		for range 4 {
			makers.Go(func() {
				for first := true; ; first = false {
					in, err := m.Instantiate(context.Background(), nil)
					if err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Errorf("%v, want ErrClosed", err)
						}
						return
					}
					if first {
						begun <- struct{}{}
					}
					if n, err := drive(in, "a"); n != 1 {
						t.Error(err)
					}
					in.Close()
				}
			})
		}
		for range 4 {
			<-begun
		}
		m.Close()
		makers.Wait()
	}
}

// The code is freed once: when it is closed and nobody uses it.
func TestUsesEndOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u uses
		inUse, closed, freed := 0, false, 0
		count := func(last bool) {
			if last {
				freed++
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				if got := u.begin(); got == closed {
					t.Fatalf("begin: %v, and closed is %v", got, closed)
				} else if got {
					inUse++
				}
			},
			"done": func(t *rapid.T) {
				if inUse == 0 {
					t.Skip("nobody is at it")
				}
				inUse--
				count(u.done())
			},
			"end": func(*rapid.T) {
				count(u.end())
				closed = true
			},
			"": func(t *rapid.T) {
				want := 0
				if closed && inUse == 0 {
					want = 1
				}
				if freed != want {
					t.Fatalf("freed %d times, want %d (closed: %v, users: %d)", freed, want, closed, inUse)
				}
			},
		})
	})
}
