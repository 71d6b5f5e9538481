package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/wasihost"
)

// options are the flags as they were given. This file is the only one that
// knows them; what they amount to is in settings.
type options struct {
	// shared by the main form and dev
	group             string
	properties        []string
	concurrency       positiveInt
	dirs              []string
	env               []string
	args              []string
	memoryLimit       byteSize
	taskTimeout       positiveDuration
	drainTimeout      positiveDuration
	commitInterval    positiveDuration
	onFailure         onFailureValue
	maxInstances      positiveInt
	maxPendingRecords positiveInt
	maxPendingBytes   byteSize
	metricsAddr       string
	traceHostCalls    bool
	lifeOptions
	engineOptions
	limitOptions

	// the main form alone
	from           fromValue
	untilEnd       bool
	connectTimeout positiveDuration
	createTopic    createTopicValue

	logOptions
}

// logOptions say how wasmton speaks; every subcommand that runs a module has them.
type logOptions struct {
	logFormat logFormatValue
	verbose   bool
	quiet     bool
}

func newOptions() *options {
	return &options{
		concurrency:       positiveInt{1, 10_000},
		memoryLimit:       wasihost.DefaultMemoryLimit,
		taskTimeout:       positiveDuration(wasihost.DefaultTaskTimeout),
		drainTimeout:      positiveDuration(20 * time.Second),
		commitInterval:    positiveDuration(time.Second),
		maxInstances:      positiveInt{2_000, math.MaxInt32},
		maxPendingRecords: positiveInt{100_000, math.MaxInt32},
		maxPendingBytes:   64 << 20,
		connectTimeout:    positiveDuration(15 * time.Second),
		limitOptions:      newLimitOptions(),
		logOptions:        logOptions{logFormat: formatText},
	}
}

// addProcessingFlags adds the flags of both the main form and dev.
func (o *options) addProcessingFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.group, "group", "", "consumer `group` (default wasmton-TOPIC)")
	fs.StringArrayVarP(&o.properties, "property", "X", nil, "Kafka client property `key=value`, by its Java name; see \"wasmton help properties\" (repeatable)")
	fs.Var(&o.concurrency, "concurrency", "lanes a partition: records that share a key stay in order, others run at the same time")
	fs.StringArrayVar(&o.dirs, "dir", nil, "grant a directory, `HOST[::GUEST][,ro]`: GUEST is the path that the module sees (default: HOST); ,ro forbids every change (repeatable)")
	fs.StringArrayVar(&o.env, "env", nil, "give the module an environment variable, `NAME=value`; NAME alone hands on our own (repeatable)")
	fs.StringArrayVar(&o.args, "arg", nil, "give the module an `argument` (repeatable)")
	fs.Var(&o.memoryLimit, "memory-limit", "memory that an instance of the module may use, at most 4GiB")
	fs.Var(&o.taskTimeout, "task-timeout", "time that one task may take")
	fs.Var(&o.drainTimeout, "drain-timeout", "time that running tasks get to finish when we stop or lose a partition")
	fs.Var(&o.commitInterval, "commit-interval", "time between commits")
	fs.Var(&o.onFailure, "on-failure", "what follows a failed task: stop ends the process and the task is run again at the next start; skip logs, counts and goes on")
	o.addRecycleFlags(fs)
	o.addReloadFlags(fs)
	fs.Var(&o.maxInstances, "max-instances", "instances of the module that may live at the same time")
	fs.Var(&o.maxPendingRecords, "max-pending-records", "unfinished records a partition, before fetching pauses")
	fs.Var(&o.maxPendingBytes, "max-pending-bytes", "bytes of unfinished records a partition, before fetching pauses")
	addTraceFlag(fs, &o.traceHostCalls)
	fs.StringVar(&o.metricsAddr, "metrics-addr", "", "serve /metrics, /livez and /readyz on this `address`, such as :9464")
	o.addLimitFlags(fs)
	o.addEngineFlags(fs)
	o.addLogFlags(fs)
}

// addRunFlags adds the flags that the main form alone has.
func (o *options) addRunFlags(fs *pflag.FlagSet) {
	fs.Var(&o.from, "from", "where the group's first start begins; later starts go on where the group left off")
	fs.BoolVar(&o.untilEnd, "until-end", false, "stop when every record that is in the topic at the start has been processed and committed")
	fs.Var(&o.connectTimeout, "connect-timeout", "time to reach a broker before giving up")
	fs.Var(&o.createTopic, "create-topic", "make the topic where it is missing, with as many partitions as the broker gives it, or as many as are written behind `[=PARTITIONS]`")
	fs.Lookup("create-topic").NoOptDefVal = "true"
}

func (o *logOptions) addLogFlags(fs *pflag.FlagSet) {
	fs.Var(&o.logFormat, "log-format", "form of the log on standard error")
	fs.BoolVarP(&o.verbose, "verbose", "v", false, "log more")
	fs.BoolVarP(&o.quiet, "quiet", "q", false, "log warnings and errors only, and show no progress")
}

// envName is the environment variable that stands in for a flag.
func envName(flag string) string {
	return "WASMTON_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Environment variables for the arguments, for containers: they count where the
// command line has no arguments at all.
var argumentVariables = []string{"WASMTON_BOOTSTRAP_SERVERS", "WASMTON_TOPIC", "WASMTON_PROCESSOR"}

// applyEnvironment sets those flags that the command line did not set from
// their variables. An empty variable counts as unset, since that is what
// templates and compose files leave behind. A repeatable flag takes one value a
// line.
//
// Variables that no flag reads are not refused: in Kubernetes a service named
// wasmton puts WASMTON_PORT and the like into every pod of its namespace.
func applyEnvironment(fs *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var problems []error
	fs.VisitAll(func(f *pflag.Flag) {
		value, _ := lookup(envName(f.Name))
		if f.Changed || value == "" || f.Name == "help" || f.Name == "version" {
			return
		}
		var err error
		if list, ok := f.Value.(pflag.SliceValue); ok {
			var lines []string
			for line := range strings.Lines(value) {
				if line = strings.TrimRight(line, "\r\n"); line != "" {
					lines = append(lines, line)
				}
			}
			if err = list.Replace(lines); err == nil {
				f.Changed = true
			}
		} else if err = fs.Set(f.Name, value); err != nil {
			err = invalidValue(err)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("environment variable %s=%q: %w", envName(f.Name), value, err))
		}
	})
	return joinUsage(problems)
}

// invalidValue strips what pflag says around a value's own error.
func invalidValue(err error) error {
	if bad := (*pflag.InvalidValueError)(nil); errors.As(err, &bad) {
		return bad.Unwrap()
	}
	return err
}

// joinUsage makes one usageError of all problems, so that a person can mend them
// at once.
func joinUsage(problems []error) error {
	switch err := errors.Join(problems...); {
	case len(problems) == 0:
		return nil
	case len(problems) == 1:
		return &usageError{err.Error()}
	default:
		return usagef("%d problems:\n  %s", len(problems), strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
}

// settings are checked options: what the main form and dev run with.
type settings struct {
	brokers   []string
	topic     string
	processor string // path of the module
	group     string
	clientID  string
	guest     wasihost.Config
	client    []kgo.Opt // from -X
	consumer  consumer.Config
	from      fromValue
	toTheEnd  bool // the run has an end to reach: to be stopped before is no success
	*options
}

// resolve checks the options and the arguments of the main form. It reads no
// file and asks nobody; whether the module and the grants are there is checked
// by openProcessor. The error is a *usageError that lists every problem.
func (o *options) resolve(args []string, lookup func(string) (string, bool)) (*settings, error) {
	var problems []error
	s := &settings{topic: args[1], processor: args[2], options: o}
	var err error
	if s.brokers, err = parseBrokers(args[0]); err != nil {
		problems = append(problems, fmt.Errorf("BOOTSTRAP %q: %w", args[0], err))
	}
	problems = append(problems, s.fill(lookup)...)
	return s, joinUsage(problems)
}

// fill works out all that does not depend on the brokers.
func (s *settings) fill(lookup func(string) (string, bool)) []error {
	var problems []error
	note := func(what string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", what, err))
		}
	}
	note(fmt.Sprintf("TOPIC %q", s.topic), checkTopicName(s.topic))
	if s.processor == "" {
		problems = append(problems, errors.New("PROCESSOR: the module's path is empty"))
	}
	if s.verbose && s.quiet {
		problems = append(problems, errors.New("--verbose and --quiet contradict each other"))
	}
	if s.group = s.options.group; s.group == "" {
		s.group = "wasmton-" + s.topic
	}
	s.toTheEnd = s.untilEnd
	name := moduleName(s.processor)
	s.clientID = clientID(name)

	s.guest = wasihost.Config{
		Args:        append([]string{name}, s.args...),
		MemoryLimit: int64(s.memoryLimit),
		TaskTimeout: time.Duration(s.taskTimeout),
	}
	problems = append(problems, s.limit(&s.guest)...)
	if s.memoryLimit < 1 || s.memoryLimit > 4<<30 {
		problems = append(problems, errors.New("--memory-limit: must be from 1 byte to 4GiB, which is all that a 32-bit module can address"))
	}
	if time.Duration(s.drainTimeout) > consumer.MaxDrainTimeout {
		problems = append(problems, fmt.Errorf("--drain-timeout %s: must not be more than %s", &s.drainTimeout, shortDuration(consumer.MaxDrainTimeout)))
	}
	if least := 10 * time.Millisecond; time.Duration(s.commitInterval) < least {
		problems = append(problems, fmt.Errorf("--commit-interval %s: must be %s or more", &s.commitInterval, least))
	}
	if s.metricsAddr != "" {
		if _, _, err := net.SplitHostPort(s.metricsAddr); err != nil {
			problems = append(problems, fmt.Errorf("--metrics-addr %q: write [host]:port", s.metricsAddr))
		}
	}
	if s.maxPendingBytes < 1 {
		problems = append(problems, errors.New("--max-pending-bytes: must be more than 0"))
	}
	problems = append(problems, s.checkLife()...)
	for _, text := range s.dirs {
		dir, err := parseDir(text)
		note(fmt.Sprintf("--dir %q", text), err)
		s.guest.Dirs = append(s.guest.Dirs, dir)
	}
	env, bad := parseEnv(s.env, lookup)
	s.guest.Env = env
	problems = append(problems, bad...)

	props, bad := parseProperties(s.properties)
	problems = append(problems, bad...)
	s.client = append(s.client, kgo.ClientID(s.clientID))
	s.client = append(s.client, props.client...)
	if props.clientID != "" {
		s.clientID = props.clientID
	}
	s.from = s.options.from
	if props.from.set {
		if s.from.set && s.from.from != props.from.from {
			problems = append(problems, fmt.Errorf("--from %s and -X auto.offset.reset=%s contradict each other; --from is enough", &s.from, &props.from))
		}
		s.from = props.from
	}

	s.consumer = consumer.Config{
		Brokers:           s.brokers,
		Topic:             s.topic,
		Group:             s.group,
		Concurrency:       s.concurrency.n,
		From:              s.from.from,
		OnFailure:         consumer.OnFailure(s.onFailure),
		DrainTimeout:      time.Duration(s.drainTimeout),
		CommitInterval:    time.Duration(s.commitInterval),
		MaxPendingRecords: s.maxPendingRecords.n,
		MaxPendingBytes:   int64(s.maxPendingBytes),
		UntilEnd:          s.untilEnd,
		ConnectTimeout:    time.Duration(s.connectTimeout),
		ClientOptions:     s.client,
	}
	return problems
}

// moduleName is the name of a module as people speak of it: its file's name
// without the extension.
func moduleName(path string) string {
	base := filepath.Base(path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

const clientIDPrefix = "wasmton-"

// clientID tells the other members of the group, and whoever reads the broker's
// metrics, which module we run. Kafka's protocol allows more than the 256 bytes
// that the client does.
func clientID(module string) string {
	id := clientIDPrefix + module
	return id[:min(len(id), 256)]
}

const defaultKafkaPort = "9092"

var schemeLike = regexp.MustCompile(`^([A-Za-z_]+)://`)

// parseBrokers reads a list of bootstrap servers.
func parseBrokers(s string) ([]string, error) {
	var brokers []string
	for b := range strings.SplitSeq(s, ",") {
		b = strings.TrimSpace(b)
		if b == "" {
			return nil, errors.New("an address is empty; write host[:port], several with commas between them")
		}
		if m := schemeLike.FindStringSubmatch(b); m != nil {
			return nil, fmt.Errorf("leave out %q; write host[:port]", m[0])
		}
		addr, err := withDefaultPort(b, defaultKafkaPort)
		if err != nil {
			return nil, err
		}
		brokers = append(brokers, addr)
	}
	return brokers, nil
}

// withDefaultPort makes host:port of an address whose port may be missing.
func withDefaultPort(s, port string) (string, error) {
	bare := s
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		bare = inner[:len(inner)-1]
	}
	if isIP(bare) {
		return net.JoinHostPort(bare, port), nil
	}
	host, p, found := strings.Cut(s, ":")
	if strings.HasPrefix(s, "[") {
		var err error
		if host, p, err = net.SplitHostPort(s); err != nil {
			return "", fmt.Errorf("%q is not host[:port]", s)
		}
		found = true
	}
	if !found {
		p = port
	}
	switch n, err := strconv.Atoi(p); {
	case host == "" || strings.ContainsAny(host, " []/\\@\"'"):
		return "", fmt.Errorf("%q is not host[:port]", s)
	case strings.HasPrefix(s, "[") && !isIP(host):
		return "", fmt.Errorf("%q is not an IP address", host)
	case err != nil || n < 1 || n > math.MaxUint16:
		return "", fmt.Errorf("the port in %q must be a number from 1 to 65535", s)
	}
	return net.JoinHostPort(host, p), nil
}

// isIP says whether s is an address, perhaps with a zone. A zone may be any text
// to netip, brackets too.
func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil && !strings.ContainsAny(s, "[] /")
}

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

// checkTopicName applies Kafka's own rule, so that a slip is told before a
// broker is contacted.
func checkTopicName(s string) error {
	switch {
	case s == "":
		return errors.New("the name is empty")
	case s == "." || s == ".." || len(s) > 249 || !topicName.MatchString(s):
		return errors.New("a Kafka topic is named with at most 249 letters, digits, dots, dashes and underscores")
	}
	return nil
}

// parseDir reads HOST[::GUEST][,ro].
//
// The guest's path defaults to the host's, as with the wasmtime command. A
// relative one is seen from the guest's root: "data" is /data and "." is /. A
// path that ends in ",ro" itself can be granted with ",rw" behind it.
func parseDir(s string) (wasihost.Dir, error) {
	var dir wasihost.Dir
	if rest, ok := strings.CutSuffix(s, ",ro"); ok {
		s, dir.ReadOnly = rest, true
	} else {
		s = strings.TrimSuffix(s, ",rw")
	}
	host, guest, mapped := strings.Cut(s, "::")
	switch {
	case host == "":
		return dir, errors.New("the host's directory is missing; write HOST[::GUEST][,ro]")
	case mapped && guest == "":
		return dir, errors.New("the path behind :: is missing; write HOST[::GUEST][,ro]")
	case !mapped:
		guest = filepath.ToSlash(filepath.Clean(host))
		if guest == ".." || strings.HasPrefix(guest, "../") {
			return dir, fmt.Errorf("the module has no directory above its root; say where it shall see it, such as %s::/data", host)
		}
	}
	dir.Host = host
	dir.Guest = path.Clean("/" + guest)
	return dir, nil
}

// parseEnv makes the guest's environment. Of two values for a name the later counts.
func parseEnv(assignments []string, lookup func(string) (string, bool)) (env []string, problems []error) {
	at := map[string]int{}
	for _, a := range assignments {
		name, value, assigned := strings.Cut(a, "=")
		if !assigned {
			var set bool
			if value, set = lookup(name); !set && name != "" {
				problems = append(problems, fmt.Errorf("--env %s: the variable is not set here; set it, or write --env %s=value", name, name))
				continue
			}
		}
		if name == "" {
			problems = append(problems, fmt.Errorf("--env %q: the name is missing; write NAME=value", a))
			continue
		}
		if i, again := at[name]; again {
			env[i] = name + "=" + value
			continue
		}
		at[name] = len(env)
		env = append(env, name+"="+value)
	}
	return env, problems
}
