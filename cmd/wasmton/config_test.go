package main

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/wasmton/wasmton/consumer"
	"github.com/wasmton/wasmton/wasihost"
)

// environment makes a lookup function of NAME=value pairs.
func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, p := range pairs {
			if n, v, _ := strings.Cut(p, "="); n == name {
				return v, true
			}
		}
		return "", false
	}
}

func TestParseBrokers(t *testing.T) {
	for text, want := range map[string]string{
		"localhost":                  "localhost:9092",
		"kafka:19092":                "kafka:19092",
		"a,b:1, c ":                  "a:9092 b:1 c:9092",
		"10.0.0.1":                   "10.0.0.1:9092",
		"::1":                        "[::1]:9092",
		"[::1]":                      "[::1]:9092",
		"[::1]:9093":                 "[::1]:9093",
		"2001:db8::7":                "[2001:db8::7]:9092",
		"[fe80::1%eth0]:9092":        "[fe80::1%eth0]:9092",
		"kafka-0.kafka.svc.cluster.": "kafka-0.kafka.svc.cluster.:9092",
	} {
		got, err := parseBrokers(text)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for text, part := range map[string]string{
		"":                   "is empty",
		"a,,b":               "is empty",
		"a,":                 "is empty",
		"kafka://a:9092":     `leave out "kafka://"`,
		"PLAINTEXT://a":      `leave out "PLAINTEXT://"`,
		"a:":                 "port",
		"a:0":                "from 1 to 65535",
		"a:65536":            "from 1 to 65535",
		"a:http":             "port",
		":9092":              "not host[:port]",
		"a b":                "not host[:port]",
		"user@host":          "not host[:port]",
		"a:1:2":              "port",
		"[::1":               "not host[:port]",
		"[kafka]:9092":       "not an IP address",
		"C:\\kafka\\p:19092": "port",
	} {
		if got, err := parseBrokers(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %q, %v, want an error with %q", text, got, err, part)
		}
	}
}

func FuzzParseBrokers(f *testing.F) {
	for _, seed := range []string{"localhost", "a:1,b", "[::1]:9092", "::", "[]", "[::1]:", "x://y", ",", "a:-1", "[%]:1", "\x00:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		brokers, err := parseBrokers(text)
		if err != nil {
			return
		}
		for _, b := range brokers {
			if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
				t.Errorf("%q gives %q, which can't be dialled: %v", text, b, err)
			}
		}
	})
}

func TestCheckTopicName(t *testing.T) {
	for _, ok := range []string{"tasks", "a.b_c-9", "...", strings.Repeat("x", 249)} {
		if err := checkTopicName(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a b", "a/b", "täsks", "a\n", strings.Repeat("x", 250)} {
		if checkTopicName(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestParseDir(t *testing.T) {
	for text, want := range map[string]wasihost.Dir{
		".":              {Host: ".", Guest: "/"},
		".::/":           {Host: ".", Guest: "/"},
		"./":             {Host: "./", Guest: "/"},
		"data":           {Host: "data", Guest: "/data"},
		"./data/in":      {Host: "./data/in", Guest: "/data/in"},
		"/var/lib/x":     {Host: "/var/lib/x", Guest: "/var/lib/x"},
		"/var/x,ro":      {Host: "/var/x", Guest: "/var/x", ReadOnly: true},
		"out::/messages": {Host: "out", Guest: "/messages"},
		"out::m,ro":      {Host: "out", Guest: "/m", ReadOnly: true},
		"../up::/up":     {Host: "../up", Guest: "/up"},
		"a,ro,rw":        {Host: "a,ro", Guest: "/a,ro"},
		"a:b":            {Host: "a:b", Guest: "/a:b"},
		"a::/b::c":       {Host: "a", Guest: "/b::c"},
		"x::/a/../b":     {Host: "x", Guest: "/b"},
		"x::../../etc":   {Host: "x", Guest: "/etc"},
	} {
		if got, err := parseDir(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", ",ro", "::/x", "::", "a::", "..", "../data", "a/../.."} {
		if got, err := parseDir(text); err == nil {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}

func TestParseEnv(t *testing.T) {
	got, problems := parseEnv([]string{"A=1", "HOME", "EMPTY=", "A=2", "EQ=a=b", "SET_EMPTY"}, environment("HOME=/h", "SET_EMPTY="))
	if want := []string{"A=2", "HOME=/h", "EMPTY=", "EQ=a=b", "SET_EMPTY="}; len(problems) > 0 || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, problems, want)
	}
	if _, problems = parseEnv([]string{"NOT_SET", "=x", ""}, environment()); len(problems) != 3 {
		t.Errorf("want 3 problems: %v", problems)
	}
}

// parse parses flags as the main form does.
func parse(t *testing.T, lookup func(string) (string, bool), flags ...string) (*options, error) {
	t.Helper()
	o := newOptions()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.addProcessingFlags(fs)
	o.addRunFlags(fs)
	if err := fs.Parse(flags); err != nil {
		t.Fatal(err)
	}
	return o, applyEnvironment(fs, lookup)
}

func TestPrecedenceIsFlagThenEnvironmentThenDefault(t *testing.T) {
	env := environment(
		"WASMTON_GROUP=from-env", "WASMTON_CONCURRENCY=7", "WASMTON_UNTIL_END=true", "WASMTON_TASK_TIMEOUT=",
		"WASMTON_DIR=/a,ro\n/b::/c\n\n", "WASMTON_PROPERTY=client.rack=r1\r\nclient.id=x", "WASMTON_CREATE_TOPIC=3",
		"WASMTON_PORT=tcp://10.0.0.1:80", "WASMTON_HELP=1",
	)
	o, err := parse(t, env, "--group", "from-flag", "-X", "client.rack=flag")
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case o.group != "from-flag":
		t.Errorf("the flag does not come first: group %q", o.group)
	case o.concurrency.n != 7 || !o.untilEnd || o.createTopic.topicPartitions != 3:
		t.Errorf("the environment is not read: %+v", o)
	case time.Duration(o.taskTimeout) != wasihost.DefaultTaskTimeout:
		t.Errorf("an empty variable counts: %v", o.taskTimeout)
	case !slices.Equal(o.dirs, []string{"/a,ro", "/b::/c"}):
		t.Errorf("dirs %q", o.dirs)
	case !slices.Equal(o.properties, []string{"client.rack=flag"}):
		t.Errorf("a repeatable flag is mixed with its variable: %q", o.properties)
	}
}

func TestBadEnvironmentIsRefusedAllAtOnceAndByName(t *testing.T) {
	_, err := parse(t, environment("WASMTON_CONCURRENCY=0", "WASMTON_UNTIL_END=perhaps", "WASMTON_FROM=2020"))
	if !isUsage(err) {
		t.Fatalf("%v", err)
	}
	for _, part := range []string{`WASMTON_CONCURRENCY="0"`, `WASMTON_UNTIL_END="perhaps"`, `WASMTON_FROM="2020"`, "must be earliest or latest"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not told: %v", part, err)
		}
	}
}

func TestSettings(t *testing.T) {
	o, err := parse(t, environment(), "--from", "latest", "--on-failure=skip", "--until-end", "--memory-limit", "1GiB",
		"--max-pending-bytes=1MiB", "--max-pending-records=9", "--arg", "a", "--arg", "b c", "--env", "X=1", "--dir", "out",
		"--drain-timeout", "3s", "--commit-interval", "50ms", "--connect-timeout", "4s", "--concurrency", "5", "--task-timeout", "6s")
	if err != nil {
		t.Fatal(err)
	}
	s, err := o.resolve([]string{"localhost", "tasks", "path/to/proc.v2.wasm"}, environment())
	if err != nil {
		t.Fatal(err)
	}
	if s.group != "wasmton-tasks" || s.clientID != "wasmton-proc.v2" {
		t.Errorf("group %q, client id %q", s.group, s.clientID)
	}
	g := s.guest
	if !slices.Equal(g.Args, []string{"proc.v2", "a", "b c"}) || !slices.Equal(g.Env, []string{"X=1"}) || len(g.Dirs) != 1 ||
		g.MemoryLimit != 1<<30 || g.TaskTimeout != 6*time.Second {
		t.Errorf("guest %+v", g)
	}
	c := s.consumer
	if !slices.Equal(c.Brokers, []string{"localhost:9092"}) || c.Topic != "tasks" || c.Group != s.group || c.Concurrency != 5 ||
		c.From != consumer.Latest || c.OnFailure != consumer.Skip || !c.UntilEnd || c.DrainTimeout != 3*time.Second ||
		c.CommitInterval != 50*time.Millisecond || c.ConnectTimeout != 4*time.Second || c.MaxPendingBytes != 1<<20 || c.MaxPendingRecords != 9 {
		t.Errorf("consumer %+v", c)
	}
}

func TestEveryContradictionIsToldAtOnce(t *testing.T) {
	o, err := parse(t, environment(), "-v", "-q", "--memory-limit", "5GiB", "--dir", "..", "--env", "UNSET", "-X", "group.id=x",
		"--from", "latest", "-X", "auto.offset.reset=earliest", "--drain-timeout", "2h", "--commit-interval", "1ms",
		"--metrics-addr", "9090", "--max-pending-bytes", "0")
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.resolve([]string{"http://x", "a topic", ""}, environment())
	if !isUsage(err) || exitCode(err) != exitUsage {
		t.Fatalf("%v", err)
	}
	for _, part := range []string{
		"13 problems", `BOOTSTRAP "http://x"`, `TOPIC "a topic"`, "PROCESSOR", "--verbose and --quiet", "--memory-limit", `--dir ".."`,
		"--env UNSET", "-X group.id=x: use --group", "--from latest and -X auto.offset.reset=earliest", "--drain-timeout 2h", "--commit-interval 1ms",
		`--metrics-addr "9090"`, "--max-pending-bytes",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not told:\n%v", part, err)
		}
	}
}

func TestOffsetResetIsASynonymOfFrom(t *testing.T) {
	for _, flags := range [][]string{
		{"-X", "auto.offset.reset=latest"},
		{"-X", "auto.offset.reset=largest"},
		{"-X", "auto.offset.reset=latest", "--from", "latest"},
		{"--from", "latest"},
	} {
		o, err := parse(t, environment(), flags...)
		if err != nil {
			t.Fatal(err)
		}
		s, err := o.resolve([]string{"a", "b", "c"}, environment())
		if err != nil || s.consumer.From != consumer.Latest || !s.from.set {
			t.Errorf("%q: %v, %v", flags, s.consumer.From, err)
		}
	}
}

func TestClientIDFitsTheProtocol(t *testing.T) {
	if got := clientID(strings.Repeat("m", 300)); len(got) != 256 || !strings.HasPrefix(got, "wasmton-mmm") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}
