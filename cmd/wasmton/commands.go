package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const mainLong = `Process the records of a Kafka topic with a WebAssembly module.

BOOTSTRAP is host[:port] of a Kafka broker, several with commas between them; the
port defaults to 9092. PROCESSOR.wasm is a core module (or its text form, .wat, or
what "wasmton compile" made of it) that exports "memory" and "run" and imports "decaton.poll_task"; "wasmton
inspect" tells whether it does. Each record's value is a task; run is called once
for each task.

Offsets are committed when their records, and all before them, were processed:
no record is ever skipped, and after a crash some are processed again.

Each flag has an environment variable as its default, WASMTON_ and the flag's
name in capitals: WASMTON_MEMORY_LIMIT for --memory-limit. A repeatable flag
takes one value a line there. Without arguments, WASMTON_BOOTSTRAP_SERVERS,
WASMTON_TOPIC and WASMTON_PROCESSOR name them.

Ctrl-C (or SIGTERM) lets running tasks finish, commits and leaves the group; a
second one leaves at once. At the end a summary goes to standard output, all
else goes to standard error.

Exit codes: 0 fine, 1 failed at run time, 2 wrong usage or an unusable module,
3 broker or topic not reachable, 128+n ended by signal n.`

const mainExample = `  # process topic "tasks" of a local broker
  wasmton localhost tasks processor.wasm

  # a module that writes below /messages, which is ./out here
  wasmton --dir ./out::/messages kafka-1:9092,kafka-2:9092 tasks processor.wasm

  # a batch job: stop at the end of the topic, and go on past bad records
  wasmton --until-end --on-failure skip localhost tasks processor.wasm

  # no broker at hand: each line becomes a task
  seq 10 | wasmton dev processor.wasm`

func newRootCommand(a *app) *cobra.Command {
	root := newRunCommand(a, "wasmton [flags] BOOTSTRAP TOPIC PROCESSOR.wasm")
	root.Version = versionText()
	root.SetVersionTemplate("{{.Version}}")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.console)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages", "Flags.FlagUsagesWrapped 100"))

	run := newRunCommand(a, "run [flags] BOOTSTRAP TOPIC PROCESSOR.wasm")
	run.Short = "Process a topic; the same as wasmton without a command"
	root.AddCommand(run, newDevCommand(a), newInspectCommand(a), newCompileCommand(a), newVersionCommand(a), newPropertiesTopic())
	root.AddCommand(newBenchCommand(a))
	root.AddCommand(newExecCommand(a))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// newRunCommand is the main form, which stands at the root and under "run".
func newRunCommand(a *app, use string) *cobra.Command {
	o := newOptions()
	cmd := &cobra.Command{
		Use:     use,
		Short:   "Process the records of a Kafka topic with a WebAssembly module",
		Long:    mainLong,
		Example: mainExample,
		Args:    cobra.ArbitraryArgs, // judged by runArguments
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := a.runArguments(cmd, args)
			if err != nil {
				return err
			}
			if err := applyEnvironment(cmd.Flags(), a.lookupEnv); err != nil {
				return err
			}
			s, err := o.resolve(args, a.lookupEnv)
			if err != nil {
				return err
			}
			return a.runTopic(cmd.Context(), s)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 2 {
				return moduleExtensions, cobra.ShellCompDirectiveFilterFileExt
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	o.addProcessingFlags(cmd.Flags())
	o.addRunFlags(cmd.Flags())
	completeFlags(cmd)
	return cmd
}

var moduleExtensions = []string{"wasm", "wat", "cwasm"}

// completeFlags tells shells the values of flags that have a choice of them, and
// that the others don't take file names.
func completeFlags(cmd *cobra.Command) {
	choices := map[string][]string{
		"from":       {"earliest", "latest"},
		"on-failure": {"stop", "skip"},
		"log-format": {"text", "json"},
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		var complete cobra.CompletionFunc
		switch {
		case f.Name == "property":
			names := supportedNames()
			for i := range names {
				names[i] += "="
			}
			complete = cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)
		case f.Name == "dir" || f.Name == "data" || f.Name == "cache-dir":
			complete = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
		default:
			complete = cobra.FixedCompletions(choices[f.Name], cobra.ShellCompDirectiveNoFileComp)
		}
		// The error says that f is not cmd's or has a completion already: neither is so.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, complete)
	})
}

// runArguments returns BOOTSTRAP, TOPIC and PROCESSOR from the command line or,
// where that has none, from the environment.
func (a *app) runArguments(cmd *cobra.Command, args []string) ([]string, error) {
	switch {
	case len(args) == 3:
		return args, nil
	case len(args) == 0:
		var missing []string
		for _, name := range argumentVariables {
			value, _ := a.lookupEnv(name)
			if value == "" {
				missing = append(missing, name)
			}
			args = append(args, value)
		}
		switch len(missing) {
		case 0:
			return args, nil
		case len(argumentVariables):
			return nil, usagef("arguments are missing: wasmton BOOTSTRAP TOPIC PROCESSOR.wasm, or \"wasmton dev PROCESSOR.wasm\" to try a module without Kafka")
		}
		return nil, usagef("without arguments, %s must be set too", strings.Join(missing, " and "))
	case !cmd.HasParent() && len(args) < 3:
		// The first word may be a subcommand mistyped.
		var commands []string
		for _, c := range cmd.Commands() {
			if c.Runnable() {
				commands = append(commands, c.Name())
			}
		}
		if near := nearest(args[0], commands); near != "" {
			return nil, usagef("%q is not a command; did you mean \"wasmton %s\"? To process a topic: wasmton BOOTSTRAP TOPIC PROCESSOR.wasm", args[0], near)
		}
	case cmd.Flags().Changed("create-topic"):
		for _, arg := range args {
			if _, err := strconv.Atoi(arg); err == nil {
				return nil, usagef("%d arguments instead of 3; the number of partitions is written with an equals sign: --create-topic=%s", len(args), arg)
			}
		}
	}
	names := []string{"BOOTSTRAP", "TOPIC", "PROCESSOR.wasm"}
	if len(args) < 3 {
		return nil, usagef("%s missing: wasmton BOOTSTRAP TOPIC PROCESSOR.wasm", isOrAre(names[len(args):]))
	}
	return nil, usagef("%d arguments instead of 3 (%s): unexpected %q", len(args), strings.Join(names, ", "), args[3])
}

func isOrAre(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, " and ") + " are"
}

// flagError turns what the flag parser says into plain words with a suggestion.
func flagError(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		value   *pflag.InvalidValueError
		needs   *pflag.ValueRequiredError
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		name := unknown.GetSpecifiedName()
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := nearest(name, names); near != "" {
			return usagef("unknown flag --%s; did you mean --%s?", name, near)
		}
		for _, other := range append(cmd.Root().Commands(), cmd.Root()) {
			if other.LocalFlags().Lookup(name) != nil {
				return usagef("unknown flag --%s: it belongs to \"%s\"", name, other.CommandPath())
			}
		}
		return usagef("unknown flag --%s", name)
	case errors.As(err, &unknown):
		return usagef("unknown flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &value):
		return usagef("--%s %q: %v", value.GetFlag().Name, value.GetValue(), value.Unwrap())
	case errors.As(err, &needs):
		return usagef("--%s needs a value (%s)", needs.GetFlag().Name, valueName(needs.GetFlag()))
	}
	return usagef("%v", err)
}

func valueName(f *pflag.Flag) string {
	name, _ := pflag.UnquoteUsage(f)
	return name
}

func oneModule(usage string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("%d arguments instead of 1: %s", len(args), usage)
		}
		return nil
	}
}

func completeModule(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return moduleExtensions, cobra.ShellCompDirectiveFilterFileExt
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// newPropertiesTopic is a page of help, not a command.
func newPropertiesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("Kafka client properties for -X, by their Java names. Others are refused, with the\n" +
		"reason and what to use instead.\n\n")
	for _, p := range supported {
		fmt.Fprintf(&b, "  %-34s  %s\n", p.name, p.about)
	}
	return &cobra.Command{Use: "properties", Short: "Kafka properties that -X takes", Long: b.String()}
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of wasmton and of what it is built with",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("version takes no arguments")
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.stdout, versionText())
			return err
		},
	}
}
