package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// report prints a table of medians. The first contender is the base of the ratio.
func report(w io.Writer, all []results) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\t\t\trecords/s\tmin .. max\tratio\tµs CPU a record\tMB resident\t")
	var base float64
	for _, r := range all {
		rate := r.sorted(func(x result) float64 { return float64(r.records) / x.wall.Seconds() })
		cpu := r.sorted(func(x result) float64 { return float64(x.cpu.Microseconds()) / float64(r.records) })
		peak := r.sorted(func(x result) float64 { return float64(x.peak) / 1e6 })
		if base == 0 {
			base = median(rate)
		}
		fmt.Fprintf(t, "%s\t×%d\t\t%.0f\t%.0f .. %.0f\t%.2f\t%.3f\t%.0f\t\n", r.name, len(r.runs),
			median(rate), rate[0], rate[len(rate)-1], median(rate)/base, median(cpu), median(peak))
	}
	_ = t.Flush()
}

func (r *results) sorted(get func(result) float64) []float64 {
	values := make([]float64, len(r.runs))
	for i, x := range r.runs {
		values[i] = get(x)
	}
	slices.Sort(values)
	return values
}

// median of sorted values.
func median(v []float64) float64 {
	if k := len(v); k%2 == 0 {
		return (v[k/2-1] + v[k/2]) / 2
	}
	return v[len(v)/2]
}
