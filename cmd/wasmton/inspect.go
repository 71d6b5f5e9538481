package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmton/wasmton/wasihost"
)

const inspectLong = `Print what a module exports and imports, which contract it follows, its size and
how long it took to compile. Nothing of the module is run.

The exit code is 0 if wasmton would take the module, and 2 if it would not; what
is in its way is printed at the place and listed at the end.`

func newInspectCommand(a *app) *cobra.Command {
	var (
		asJSON bool
		engine engineOptions
	)
	cmd := &cobra.Command{
		Use:               "inspect [flags] PROCESSOR.wasm",
		Short:             "Print what a module exports, imports and needs",
		Long:              inspectLong,
		Example:           "  wasmton inspect processor.wasm\n  wasmton inspect --json processor.wasm | jq -r .digest",
		Args:              oneModule("wasmton inspect PROCESSOR.wasm"),
		ValidArgsFunction: completeModule,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := applyEnvironment(cmd.Flags(), a.lookupEnv); err != nil {
				return err
			}
			return a.inspect(args[0], &engine, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	engine.addCacheFlag(cmd.Flags())
	completeFlags(cmd)
	return cmd
}

// inspection is what inspect tells of a module, in the form of its JSON.
type inspection struct {
	Module         string   `json:"module"`
	Size           int      `json:"size_bytes"`
	Digest         string   `json:"digest"`
	CompileSeconds float64  `json:"compile_seconds"` // when the code was compiled
	Code           string   `json:"code"`            // where it comes from: compiled, cache, artifact
	LoadSeconds    float64  `json:"load_seconds"`    // until it was ready, this time
	CPU            string   `json:"cpu"`             // level that it was compiled for
	Contract       string   `json:"contract"`        // decaton, command, or "" if it follows none
	Exports        []symbol `json:"exports"`
	Imports        []symbol `json:"imports"`
	Problems       []string `json:"problems"`
}

type symbol struct {
	Module  string `json:"module,omitempty"`
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Type    string `json:"type"`
	Problem string `json:"problem,omitempty"`
}

func (a *app) inspect(path string, o *engineOptions, asJSON bool) error {
	a.startLog(&logOptions{logFormat: formatText})
	engine, err := a.newEngine(o)
	if err != nil {
		return err
	}
	defer engine.Close()
	module, err := compileModule(engine, path, a.console)
	if err != nil {
		return err
	}
	found, err := examine(module)
	if err != nil {
		return err
	}
	if asJSON {
		out := json.NewEncoder(a.stdout)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false) // types have arrows
		err = out.Encode(found)
	} else {
		err = found.print(a.stdout)
	}
	if err != nil {
		return fmt.Errorf("writing to standard output: %w", err)
	}
	if len(found.Problems) > 0 {
		return &exitError{code: exitUsage} // all has been said
	}
	return nil
}

func examine(m *wasihost.Module) (*inspection, error) {
	digest := m.Digest()
	found := &inspection{
		Module:         m.Name(),
		Size:           m.Size(),
		Digest:         "sha256:" + hex.EncodeToString(digest[:]),
		CompileSeconds: m.CompileTime().Seconds(),
		Code:           string(m.Origin()),
		LoadSeconds:    m.LoadTime().Seconds(),
		CPU:            m.CPU(),
		Exports:        symbols(m.Exports()),
		Imports:        symbols(m.Imports()),
		Problems:       []string{},
	}
	var link *wasihost.LinkError
	switch err := m.Check(); {
	case err == nil:
		found.Contract = "decaton"
	case errors.As(err, &link):
		found.Problems = link.Problems
		if m.CheckCommand() == nil {
			found.Contract = "command"
		}
	default:
		return nil, err
	}
	return found, nil
}

func secondsText(s float64) string {
	return roundDuration(time.Duration(s * float64(time.Second))).String()
}

func symbols(of []wasihost.Symbol) []symbol {
	out := make([]symbol, 0, len(of)) // [] in JSON, not null
	for _, s := range of {
		out = append(out, symbol{s.Module, s.Name, s.Kind, s.Type, s.Problem})
	}
	return out
}

func (f *inspection) print(w io.Writer) error {
	contract := f.Contract
	switch contract {
	case "":
		contract = "none (see problems)"
	case "command":
		contract = "command: a program for wasmton exec, not a processor"
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "module\t%s\n", clean(f.Module))
	fmt.Fprintf(out, "contract\t%s\n", contract)
	fmt.Fprintf(out, "size\t%s bytes\n", grouped(int64(f.Size)))
	fmt.Fprintf(out, "digest\t%s\n", f.Digest)
	fmt.Fprintf(out, "compiled in\t%s\n", secondsText(f.CompileSeconds))
	switch wasihost.Origin(f.Code) {
	case wasihost.Compiled: // just now: nothing to add
	case wasihost.FromCache:
		fmt.Fprintf(out, "from cache in\t%s\n", secondsText(f.LoadSeconds))
	case wasihost.FromArtifact:
		fmt.Fprintf(out, "loaded in\t%s\n", secondsText(f.LoadSeconds))
		fmt.Fprintf(out, "for CPU level\t%s\n", f.CPU)
	}
	printSymbols(out, "exports", f.Exports)
	printSymbols(out, "imports", f.Imports)
	if err := out.Flush(); err != nil {
		return err
	}
	if len(f.Problems) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("\nproblems\n")
	for _, p := range f.Problems {
		first, rest := firstLine(p)
		fmt.Fprintf(&b, "  - %s\n", clean(first))
		for line := range strings.Lines(rest) {
			fmt.Fprintf(&b, "    %s\n", clean(strings.TrimRight(line, "\n")))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printSymbols writes a table. Names come from the module and may be anything.
func printSymbols(out io.Writer, title string, list []symbol) {
	fmt.Fprintf(out, "\n%s", title)
	if len(list) == 0 {
		fmt.Fprint(out, "\tnone\n")
		return
	}
	fmt.Fprintln(out)
	for _, s := range list {
		name := s.Name
		if s.Module != "" {
			name = s.Module + "." + name
		}
		fmt.Fprintf(out, "  %s\t%s\t%s", clean(name), s.Kind, s.Type)
		if s.Problem != "" {
			problem, _ := firstLine(s.Problem)
			fmt.Fprintf(out, "\tREFUSED: %s", clean(problem))
		}
		fmt.Fprintln(out)
	}
}

func clean(s string) string { return string(appendClean(nil, s)) }
