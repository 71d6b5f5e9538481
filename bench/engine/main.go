// engine measures what a task and an instance cost, beside what they are measured
// against, and prints a table of medians. README.md in the folder above says what the
// figures mean.
//
// The measurements are the Go benchmarks of package wasihost and of processor/wasm,
// whose test binaries it is given. It runs all of them in turn, round after round:
// a machine that slows down meanwhile slows down all of them.
//
//	engine -runs 7 wasihost.test wasm.test
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wasmton/wasmton/bench/internal/machine"
)

func main() {
	runs := flag.Int("runs", 7, "rounds")
	each := flag.Duration("time", 300*time.Millisecond, "how long each benchmark runs in a round")
	flag.Parse()
	if err := measure(*runs, *each, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

// samples are what the rounds gave for each benchmark, by its name.
type samples map[string][]sample

type sample struct{ ns, allocs float64 }

func measure(runs int, each time.Duration, binaries []string) error {
	if len(binaries) == 0 || runs < 1 {
		return fmt.Errorf("usage: engine [-runs N] [-time DURATION] TEST-BINARY...; `make bench` does it all")
	}
	all := samples{}
	for round := range runs {
		fmt.Fprintf(os.Stderr, "engine: round %d of %d\n", round+1, runs)
		for _, binary := range binaries {
			cmd := exec.Command(binary, "-test.run=^$", "-test.bench="+pattern(), "-test.benchmem", "-test.benchtime="+each.String())
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s: %w\n%s%s", binary, err, out.Bytes(), errs.Bytes())
			}
			all.read(out.Bytes())
		}
	}
	fmt.Printf("medians of %d rounds; %s\n", runs, machine.Name())
	return all.report(os.Stdout)
}

// pattern selects the benchmarks of the tables.
func pattern() string {
	var names []string
	for _, t := range tables {
		for _, r := range t.rows {
			name, _, _ := strings.Cut(r.benchmark, "/")
			if name = "^Benchmark" + name + "$"; !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, "|")
}

// read takes the output of a test binary:
//
//	BenchmarkTask/batch=256-2   51385712   23.31 ns/op   0 B/op   0 allocs/op
func (s samples) read(out []byte) {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		name, ok := strings.CutPrefix(lines.Text(), "Benchmark")
		if !ok || len(fields) < 4 {
			continue
		}
		name = strings.TrimSuffix(strings.Fields(name)[0], fmt.Sprintf("-%d", runtime.GOMAXPROCS(0)))
		var one sample
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			switch {
			case err != nil:
			case fields[i+1] == "ns/op":
				one.ns = value
			case fields[i+1] == "allocs/op":
				one.allocs = value
			}
		}
		s[name] = append(s[name], one)
	}
}
