package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type bench struct {
	bootstrap, topic     string
	records              int64
	partitions, size     int
	keys, runs           int
	wasmton, bare, guest string
	only                 []string
	limit                time.Duration

	client *kgo.Client
	admin  *kadm.Client
}

// contender is one program that takes part.
type contender struct {
	name string
	gogc string // "" leaves the program's own
	args func(group string) []string
}

func (b *bench) contenders() []contender {
	bare := func(flags ...string) func(string) []string {
		return func(group string) []string {
			return append([]string{b.bare, "-bootstrap", b.bootstrap, "-topic", b.topic, "-group", group}, flags...)
		}
	}
	wasmton := func(flags ...string) func(string) []string {
		return func(group string) []string {
			return append([]string{
				b.wasmton, "run", "--group", group, "--until-end", "--commit-interval", "200ms",
				"--metrics-addr", "127.0.0.1:0", b.bootstrap, b.topic, b.guest,
			}, flags...)
		}
	}
	return []contender{
		{"bare franz-go", "100", bare()},
		{"bare franz-go, pooled, GOGC=400", "400", bare("-pooled")},
		{"wasmton, no-op guest", "", wasmton()},
		{"wasmton, no-op guest, 8 lanes", "", wasmton("--concurrency", "8")},
	}
}

// result is one run, seen from outside.
type result struct {
	wall time.Duration // from the start of the process to the last offset committed
	cpu  time.Duration // user and system time of the process's whole life
	peak int64         // most resident memory, bytes; 0 where the system does not tell
}

type results struct {
	contender
	records int64
	runs    []result
}

// measure runs all contenders in turn, round after round, so that a machine that
// slows down slows all of them.
func (b *bench) measure(ctx context.Context) ([]results, error) {
	var all []results
	for _, c := range b.contenders() {
		if len(b.only) == 0 || slices.Contains(b.only, c.name) {
			all = append(all, results{contender: c, records: b.records})
		}
	}
	for round := range b.runs {
		for i := range all {
			r, err := b.run(ctx, all[i].contender, fmt.Sprintf("bench-%d-%d-%d", time.Now().UnixNano(), round, i))
			if err != nil {
				return nil, fmt.Errorf("%s, run %d: %w", all[i].name, round+1, err)
			}
			fmt.Fprintf(os.Stderr, "run %d: %-32s %8.0f records/s\n", round+1, all[i].name, float64(b.records)/r.wall.Seconds())
			all[i].runs = append(all[i].runs, r)
		}
	}
	return all, nil
}

// run starts one contender and waits until the group has committed the whole
// topic. Looking costs a request every 20 ms, the same for all.
func (b *bench) run(ctx context.Context, c contender, group string) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, b.limit)
	defer cancel()
	args := c.args(group)
	cmd := exec.Command(args[0], args[1:]...)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &stderr
	if cmd.Env = os.Environ(); c.gogc != "" {
		cmd.Env = append(cmd.Env, "GOGC="+c.gogc)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	wall, peak, err := b.await(ctx, group, cmd.Process.Pid, start)
	_ = cmd.Process.Signal(syscall.SIGTERM) // wasmton may have ended by itself
	select {
	case exit := <-exited:
		err = cmp.Or(err, ignoreSignals(exit))
	case <-time.After(10 * time.Second):
		_ = cmd.Process.Kill()
		err = cmp.Or(err, fmt.Errorf("did not stop in 10 s: %w", <-exited))
	}
	if err != nil {
		return result{}, fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	return result{
		wall: wall,
		cpu:  cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		peak: peak,
	}, nil
}

// await returns how long it took from start until all was committed, and the most
// memory that the process has had resident by then. The usage that is reported at
// the process's exit won't do for that: it begins with what its parent, which is
// this program, had when it forked.
func (b *bench) await(ctx context.Context, group string, pid int, start time.Time) (wall time.Duration, peak int64, err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		peak = max(peak, peakResident(pid))
		if b.committed(ctx, group) >= b.records {
			return time.Since(start), peak, nil
		}
		select {
		case <-ctx.Done():
			return 0, 0, fmt.Errorf("%d of %d records committed: %w", b.committed(context.Background(), group), b.records, ctx.Err())
		case <-tick.C:
		}
	}
}

func peakResident(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib * 1024
		}
	}
	return 0
}

// ignoreSignals drops the exit of a program that we stopped ourselves.
func ignoreSignals(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() || exit.ExitCode() == 143 {
			return nil
		}
	}
	return err
}
