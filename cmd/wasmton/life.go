package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/wasmton/wasmton/processor/wasm"
)

// lifeOptions are the flags about how long an instance lives, and the module itself.
type lifeOptions struct {
	recycleMemory recycleMemoryValue
	recycleTasks  positiveInt
	recycleAfter  positiveDuration
	watch         bool
	allowReload   bool
}

func (o *lifeOptions) addRecycleFlags(fs *pflag.FlagSet) {
	o.recycleTasks.max = math.MaxInt
	fs.Var(&o.recycleMemory, "recycle-memory", "memory above which an instance is replaced by a new one between two tasks, or off (default three quarters of --memory-limit)")
	fs.Var(&o.recycleTasks, "recycle-tasks", "tasks after which an instance is replaced (default: never)")
	fs.Var(&o.recycleAfter, "recycle-after", "age at which an instance is replaced (default: never)")
}

func (o *lifeOptions) addReloadFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.watch, "watch", false, "when the module's file changes, change to the new one at once, as on SIGHUP")
	fs.BoolVar(&o.allowReload, "allow-reload", false, "let whoever reaches --metrics-addr do what SIGHUP does, by POST /reload")
}

// checkLife says what is wrong with the flags.
func (o *options) checkLife() (problems []error) {
	if m := o.recycleMemory; m > 0 && int64(m) >= int64(o.memoryLimit) {
		problems = append(problems, fmt.Errorf("--recycle-memory %s: must be less than --memory-limit, which is %s, or off", &m, o.memoryLimit))
	}
	if o.allowReload && o.metricsAddr == "" {
		problems = append(problems, errors.New("--allow-reload: --metrics-addr is missing, which says where POST /reload is served"))
	}
	return problems
}

// recycle is what the flags say in the form of package wasm.
func (o *lifeOptions) recycle() wasm.Recycle {
	return wasm.Recycle{
		Memory: int64(o.recycleMemory),
		Tasks:  int64(o.recycleTasks.n),
		After:  time.Duration(o.recycleAfter),
	}
}

// recycleMemoryValue is --recycle-memory in the form of wasm.Recycle.Memory: 0 when
// the flag was not given, -1 for off.
type recycleMemoryValue int64

func (v *recycleMemoryValue) Set(s string) error {
	if strings.EqualFold(strings.TrimSpace(s), "off") {
		*v = -1
		return nil
	}
	var size byteSize
	if err := size.Set(s); err != nil {
		return fmt.Errorf("%w, or off", err)
	}
	if size < 1 {
		return errors.New("must be more than 0, or off")
	}
	*v = recycleMemoryValue(size)
	return nil
}

func (v *recycleMemoryValue) String() string {
	switch {
	case *v < 0:
		return "off"
	case *v == 0:
		return ""
	}
	return formatBytes(int64(*v))
}
func (*recycleMemoryValue) Type() string { return "size|off" }
