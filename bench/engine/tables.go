package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// table is one question, and its rows the answers. The first row is what the others
// are measured beside.
type table struct {
	title string
	unit  string
	scale float64 // of a unit in ns
	rows  []row
}

type row struct {
	what      string
	benchmark string
	goals     []goal
}

// goal is what this project holds itself to.
type goal struct {
	text string
	met  func(mine, base sample) bool
}

func timesFaster(n float64) goal {
	return goal{fmt.Sprintf("%.0f times faster", n), func(mine, base sample) bool { return base.ns/mine.ns >= n }}
}

func atMostTimes(n float64) goal {
	return goal{fmt.Sprintf("at most %.1f times", n), func(mine, base sample) bool { return mine.ns/base.ns <= n }}
}

func atMost(ns float64, text string) goal {
	return goal{"at most " + text, func(mine, _ sample) bool { return mine.ns <= ns }}
}

var noAllocations = goal{"0 allocations", func(mine, _ sample) bool { return mine.allocs == 0 }}

var tables = []table{
	{"A task of 100 bytes", "ns", 1, []row{
		{"naive: poll_task a Go function, run called for each task", "Task/naive", nil},
		{"1 task a crossing", "Task/batch=1", []goal{atMostTimes(0.5), noAllocations}},
		{"16 tasks a crossing", "Task/batch=16", []goal{noAllocations}},
		{"256 tasks a crossing", "Task/batch=256", []goal{timesFaster(80), noAllocations}},
		{"1,024 tasks a crossing", "Task/batch=1024", []goal{timesFaster(120), noAllocations}},
		{"256 a crossing, and each writes a line of 100 bytes", "Line", []goal{timesFaster(10)}},
	}},
	{"An instance, from start to close", "µs", 1000, []row{
		{"bare: the guest alone, without imports", "Instance/bare", nil},
		{"with the shim", "Instance/polling", []goal{atMost(100_000, "100 µs")}},
		{"with the shim, and all imports there are", "Instance/wasi", []goal{atMost(200_000, "200 µs")}},
	}},
	{"A trap, and the instance that replaces the one that trapped", "µs", 1000, []row{
		{"an instance", "Instance/polling", nil},
		{"unreachable", "Trap/unreachable", []goal{atMostTimes(2)}},
		{"recursion without end, which has a long backtrace", "Trap/recursion", nil},
	}},
	{"Replacing instances: a task at 256 a crossing", "ns", 1, []row{
		{"never", "Recycle/no-op/never", nil},
		{"above some memory, which this guest never has", "Recycle/no-op/memory", []goal{atMostTimes(1.1)}},
		{"after 100,000 tasks", "Recycle/no-op/tasks=100000", []goal{atMostTimes(1.1)}},
		{"after 1,000 tasks", "Recycle/no-op/tasks=1000", nil},
		{"after each task", "Recycle/no-op/tasks=1", nil},
		{"a guest that leaks 1 KiB a task, above 192 MiB", "Recycle/leak/memory=192MiB", nil},
		{"above 16 MiB", "Recycle/leak/memory=16MiB", nil},
		{"above 1 MiB", "Recycle/leak/memory=1MiB", nil},
	}},
}

// report prints the tables. The error says that a benchmark gave nothing; a goal that
// is missed is said in its row.
func (s samples) report(w io.Writer) error {
	for _, t := range tables {
		fmt.Fprintf(w, "\n%s\n\n", t.title)
		out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(out, "\t%s\tmin .. max\tratio\tallocations\tgoal\n", t.unit)
		var base sample
		for i, r := range t.rows {
			mine, least, most, ok := s.median(r.benchmark)
			if !ok {
				return fmt.Errorf("no benchmark gave %s", r.benchmark)
			}
			if i == 0 {
				base = mine
			}
			fmt.Fprintf(out, "%s\t%s\t%s .. %s\t%s\t%.0f\t%s\n", r.what,
				digits(mine.ns/t.scale), digits(least/t.scale), digits(most/t.scale),
				ratio(base.ns/mine.ns), mine.allocs, goals(r.goals, mine, base))
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (s samples) median(name string) (median sample, least, most float64, ok bool) {
	list := s[name]
	if len(list) == 0 {
		return sample{}, 0, 0, false
	}
	slices.SortFunc(list, func(a, b sample) int {
		switch {
		case a.ns < b.ns:
			return -1
		case a.ns > b.ns:
			return 1
		}
		return 0
	})
	return list[len(list)/2], list[0].ns, list[len(list)-1].ns, true
}

func goals(list []goal, mine, base sample) string {
	var texts []string
	for _, g := range list {
		if g.met(mine, base) {
			texts = append(texts, g.text)
		} else {
			texts = append(texts, g.text+" (MISSED)")
		}
	}
	return strings.Join(texts, ", ")
}

// ratio says how many times faster than the first row.
func ratio(times float64) string {
	if times >= 1 {
		return "÷ " + digits(times)
	}
	return "× " + digits(1/times)
}

// digits writes about three of them.
func digits(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
