package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wasmton/wasmton/wasihost"
)

const execLong = `Run a WASI program, a module with a main function, in the sandbox that processors
run in. Standard input, output and error are ours, and go through byte by byte.
Flags stand before the program; all that follows it are its arguments.

Exit codes: the program's own (255 where that is not from 0 to 255), 134 where it
trapped, 125 where wasmton could not run it or ended it for its time limit, 128+n
where signal n ended it.`

const execExample = `  # a program that sees one directory, which it can't change
  wasmton exec --dir ./data::/data,ro program.wasm --input /data/orders.json

  # what it asks of the host
  wasmton exec --trace-host-calls program.wasm`

// Exit codes of exec beside the program's.
const (
	exitExec = 125 // it could not be run
	exitTrap = 134 // it trapped: what a shell tells of an abort
)

// execPatience is how long a program gets to end after a signal, where it blocks
// in a write that nobody reads.
const execPatience = time.Second

// execOptions are the flags of exec.
type execOptions struct {
	dirs        []string
	env         []string
	memoryLimit byteSize
	timeout     positiveDuration
	trace       bool
	limitOptions
	engineOptions
	logOptions
}

func newExecCommand(a *app) *cobra.Command {
	o := &execOptions{
		memoryLimit: wasihost.DefaultMemoryLimit, limitOptions: newLimitOptions(),
		logOptions: logOptions{logFormat: formatText},
	}
	cmd := &cobra.Command{
		Use:               "exec [flags] PROGRAM.wasm [ARGUMENT...]",
		Short:             "Run a WASI program with our standard input and output",
		Long:              execLong,
		Example:           execExample,
		ValidArgsFunction: completeModule,
		Args:              cobra.ArbitraryArgs, // judged below: its exit code is another
		RunE: func(cmd *cobra.Command, args []string) error {
			return execFailed(a.exec(cmd, o, args))
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return execFailed(flagError(cmd, err)) })
	o.addFlags(cmd.Flags())
	cmd.Flags().SetInterspersed(false)
	completeFlags(cmd)
	return cmd
}

func (o *execOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&o.dirs, "dir", nil, "grant a directory, `HOST[::GUEST][,ro]`: GUEST is the path that the program sees (default: HOST); ,ro forbids every change (repeatable)")
	fs.StringArrayVar(&o.env, "env", nil, "give the program an environment variable, `NAME=value`; NAME alone hands on our own (repeatable)")
	fs.Var(&o.memoryLimit, "memory-limit", "memory that the program may use, at most 4GiB")
	fs.Var(&o.timeout, "timeout", "time that the program may take (default: any)")
	addTraceFlag(fs, &o.trace)
	o.addHoldingFlags(fs)
	o.addEngineFlags(fs)
	o.addLogFlags(fs)
}

// execFailed gives an error exec's exit code unless it has one of its own.
func execFailed(err error) error {
	var (
		exit *exitError
		trap *wasihost.TrapError
	)
	switch {
	case err == nil, errors.As(err, &exit) && exit.code != exitUsage:
		return err
	case errors.As(err, &trap):
		return &exitError{exitTrap, err}
	}
	return &exitError{exitExec, err}
}

// config makes the program's configuration.
func (o *execOptions) config(args []string, lookup func(string) (string, bool)) (*wasihost.Config, error) {
	cfg := &wasihost.Config{
		Args:        append([]string{moduleName(args[0])}, args[1:]...),
		MemoryLimit: int64(o.memoryLimit),
		TaskTimeout: time.Duration(o.timeout),
	}
	problems := o.limit(cfg)
	for _, text := range o.dirs {
		dir, err := parseDir(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("--dir %q: %w", text, err))
		}
		cfg.Dirs = append(cfg.Dirs, dir)
	}
	env, bad := parseEnv(o.env, lookup)
	cfg.Env = env
	return cfg, joinUsage(append(problems, bad...))
}

func (a *app) exec(cmd *cobra.Command, o *execOptions, args []string) error {
	if len(args) == 0 {
		return usagef("PROGRAM.wasm is missing: wasmton exec [flags] PROGRAM.wasm [ARGUMENT...]")
	}
	if err := applyEnvironment(cmd.Flags(), a.lookupEnv); err != nil {
		return err
	}
	cfg, err := o.config(args, a.lookupEnv)
	if err != nil {
		return err
	}
	a.startLog(&o.logOptions)
	if o.trace {
		cfg.Trace = func(c *wasihost.HostCall) { logCall(a.log, nil, c) }
	}
	engine, err := a.newEngine(&o.engineOptions)
	if err != nil {
		return err
	}
	module, err := compileModule(engine, args[0], a.console)
	if err == nil {
		err = module.CheckCommand()
	}
	if err == nil {
		err = cfg.Check()
	}
	if err != nil {
		engine.Close()
		return err
	}

	return a.endedBySignal(cmd.Context(), func(ctx context.Context) error {
		defer engine.Close()
		return a.runProgram(ctx, module, cfg)
	})
}

// endedBySignal runs a program until it ends or a signal ends it. A second signal,
// or execPatience, leaves work running, and the process is expected to end.
func (a *app) endedBySignal(ctx context.Context, work func(context.Context) error) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, stopSignals...)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1) // buffered: nobody may be left to receive
	go func() { done <- work(ctx) }()
	var stop *signalError
	select {
	case err := <-done:
		return err
	case s := <-signals:
		stop = &signalError{s}
		cancel(stop)
	}
	select {
	case err := <-done:
		return err
	case <-signals:
	case <-time.After(execPatience):
	}
	return &exitError{code: stop.code()}
}

// runProgram runs the program to its end.
func (a *app) runProgram(ctx context.Context, module *wasihost.Module, cfg *wasihost.Config) error {
	status, err := module.Run(ctx, cfg, wasihost.Streams{Stdin: a.stdin, Stdout: a.stdout, Stderr: a.console.w})
	var stop *signalError
	switch {
	case errors.Is(err, wasihost.ErrInterrupted) && errors.As(context.Cause(ctx), &stop):
		return &exitError{code: stop.code()}
	case err != nil:
		return err
	case status == 0:
		return nil
	case status < 0 || status > 255:
		status = 255
	}
	return &exitError{code: int(status)}
}
