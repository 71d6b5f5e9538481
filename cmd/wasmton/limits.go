package main

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/wasmton/wasmton/wasihost"
)

// limitOptions are the flags that bound what an instance of the module may use,
// beside its memory and its time.
type limitOptions struct {
	tableLimit   positiveInt
	maxOpenFiles positiveInt
	logLimit     byteSize
}

func newLimitOptions() limitOptions {
	return limitOptions{
		tableLimit:   positiveInt{wasihost.DefaultTableLimit, 1 << 24},
		maxOpenFiles: positiveInt{wasihost.DefaultMaxOpenFiles, 256},
		logLimit:     wasihost.DefaultLogLimit,
	}
}

func (o *limitOptions) addLimitFlags(fs *pflag.FlagSet) {
	o.addHoldingFlags(fs)
	fs.Var(&o.logLimit, "log-limit", "output of a task that is logged; a line tells of the rest")
}

// addHoldingFlags adds the limits on what an instance holds, which are not about tasks.
func (o *limitOptions) addHoldingFlags(fs *pflag.FlagSet) {
	fs.Var(&o.tableLimit, "table-limit", "elements that each table of the module may have")
	fs.Var(&o.maxOpenFiles, "max-open-files", "files and directories that an instance of the module may have open, at most 256; it is refused another with EMFILE")
}

// limit sets the limits of a guest.
func (o *limitOptions) limit(guest *wasihost.Config) []error {
	guest.TableLimit = int64(o.tableLimit.n)
	guest.MaxOpenFiles = o.maxOpenFiles.n
	guest.LogLimit = int64(o.logLimit)
	if o.logLimit < 1 {
		return []error{errors.New("--log-limit: must be more than 0")}
	}
	return nil
}
