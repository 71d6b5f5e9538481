package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wasmton/wasmton/wasihost"
)

const compileLong = `Compile a module ahead of time, so that it starts in milliseconds wherever the file
is copied to: wasmton BOOTSTRAP TOPIC FILE.cwasm.

The file is for this version of wasmton, this operating system and architecture,
and for CPUs that have at least the features of --cpu; elsewhere it is refused. It
is native code, not a sandboxed module: run such a file only if you trust whoever
made it.

For several architectures, run this command once on each, for example in
containers: docker run --platform linux/arm64 ... wasmton compile ...`

const compileExample = `  # for the CPU of this machine and those that have as much
  wasmton compile processor.wasm -o processor.cwasm

  # for every CPU of this architecture
  wasmton compile --cpu baseline processor.wasm -o processor.cwasm`

// compileOptions are the flags of compile.
type compileOptions struct {
	output string
	cpu    string
	target string
}

func newCompileCommand(a *app) *cobra.Command {
	var o compileOptions
	cmd := &cobra.Command{
		Use:               "compile [flags] PROCESSOR.wasm -o FILE.cwasm",
		Short:             "Compile a module ahead of time",
		Long:              compileLong,
		Example:           compileExample,
		Args:              oneModule("wasmton compile PROCESSOR.wasm -o FILE.cwasm"),
		ValidArgsFunction: completeModule,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := applyEnvironment(cmd.Flags(), a.lookupEnv); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			return a.compile(args[0], &o)
		},
	}
	o.addFlags(cmd.Flags())
	// The errors say that a flag is not there or has a completion already: neither is so.
	_ = cmd.RegisterFlagCompletionFunc("cpu", cobra.FixedCompletions(wasihost.CPULevels(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("target", cobra.FixedCompletions([]string{hostTarget()}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *compileOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVarP(&o.output, "output", "o", "", "`file` to write; it is replaced as a whole, also while it is in use")
	fs.StringVar(&o.cpu, "cpu", wasihost.CPUNative, "`level` of CPU that the code needs: native is all that this machine's has, baseline what each has; here "+strings.Join(wasihost.CPULevels(), ", "))
	fs.StringVar(&o.target, "target", "", "`OS/ARCH` that the code is for; it must be this machine's ("+hostTarget()+")")
}

// hostTarget is the only target that there is: the engine has the compiler of its own
// architecture only.
func hostTarget() string { return runtime.GOOS + "/" + runtime.GOARCH }

// check refuses what the engine must not even be asked for: it ends the process over
// a target that it does not have.
func (o *compileOptions) check() error {
	var problems []error
	if o.output == "" {
		problems = append(problems, errors.New("--output is missing: wasmton compile PROCESSOR.wasm -o FILE.cwasm"))
	}
	if o.target != "" && !isHostTarget(o.target) {
		problems = append(problems, fmt.Errorf("--target %s: code can be compiled for this machine only, which is %s; "+
			"run wasmton compile once on a machine of each kind%s", o.target, hostTarget(), inContainer(o.target)))
	}
	levels := wasihost.CPULevels()
	if !slices.Contains(levels, o.cpu) {
		problems = append(problems, fmt.Errorf("--cpu %q: must be one of %s", o.cpu, strings.Join(levels, ", ")))
	}
	return joinUsage(problems)
}

// archNames are what others call architectures that Go runs on.
var archNames = map[string]string{"x86_64": "amd64", "x86-64": "amd64", "x64": "amd64", "aarch64": "arm64"}

// goArch is the name of an architecture as Go and containers know it.
func goArch(name string) string {
	if known := archNames[strings.ToLower(name)]; known != "" {
		return known
	}
	return strings.ToLower(name)
}

// isHostTarget says whether a target is this machine: its architecture alone,
// OS/ARCH, or a triple such as x86_64-unknown-linux-gnu.
func isHostTarget(target string) bool {
	if system, arch, ok := strings.Cut(target, "/"); ok {
		return system == runtime.GOOS && goArch(arch) == runtime.GOARCH
	}
	if goArch(target) == runtime.GOARCH {
		return true
	}
	arch, rest, ok := strings.Cut(target, "-")
	return ok && goArch(arch) == runtime.GOARCH && slices.Contains(strings.Split(rest, "-"), runtime.GOOS)
}

// inContainer says how to get a Linux machine of another architecture, "" for other
// systems.
func inContainer(target string) string {
	system, arch, ok := strings.Cut(target, "/")
	if !ok {
		var rest string
		if arch, rest, ok = strings.Cut(target, "-"); !ok || strings.Contains(rest, "linux") {
			system = "linux"
		}
	}
	if system != "linux" {
		return ""
	}
	return ", for example in a container: docker run --platform linux/" + goArch(arch) + " ..."
}

// compile is the command compile.
func (a *app) compile(path string, o *compileOptions) error {
	a.startLog(&logOptions{logFormat: formatText})
	if wasihost.IsArtifact(path) {
		return refused(fmt.Errorf("%s: it is compiled already; name the module that it was made from", path))
	}
	engine, err := wasihost.NewEngineWith(wasihost.EngineConfig{CPU: o.cpu})
	if err != nil {
		return refused(err)
	}
	defer engine.Close()
	module, err := compileModule(engine, path, a.console)
	if err != nil {
		return err
	}
	if err := module.Check(); err != nil {
		a.log.Warn("no processor is made of this as it is: " + err.Error())
	}
	size, err := module.Save(o.output)
	if err != nil {
		return fmt.Errorf("writing %s: %w", o.output, err)
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %s bytes for %s, CPU level %s, compiled in %s from %s bytes\n",
		clean(o.output), grouped(size), hostTarget(), module.CPU(), roundDuration(module.CompileTime()), grouped(int64(module.Size())))
	if err != nil {
		return fmt.Errorf("writing to standard output: %w", err)
	}
	return nil
}

// showCompiling draws a line that says how long a module has been compiling, from
// the time on at which a person begins to wonder. There is no telling how long it
// will take. The function that it returns ends it.
func showCompiling(c *console, path string, size int) (end func()) {
	if !c.terminal() {
		return func() {}
	}
	begun := time.Now()
	line := fmt.Sprintf("compiling %s (%s bytes)", clean(path), grouped(int64(size)))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		defer c.setLive("")
		tick := time.NewTicker(liveInterval)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				text := fmt.Sprintf("%s: %.1f s", line, time.Since(begun).Seconds())
				c.setLive(text[:min(len(text), max(0, c.width()-1))])
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}
