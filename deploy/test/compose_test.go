package deploytest

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

func TestCompose(t *testing.T) {
	testCheck(t, checkCompose, []mistake{
		{"an attribute that does not exist", composeFile, "    read_only: true\n", "    readonly: true\n", "readonly"},
		{"a volume that is not declared", composeFile, "volumes:\n  kafka:\n  messages:\n", "volumes:\n  kafka:\n", "undefined volume messages"},
		{"a dependency that does not exist", composeFile, "wasmton: {condition: service_started}", "wasm: {condition: service_started}", "wasm"},
		{"no health check", composeFile, "    healthcheck:", "    x-healthcheck:", "has no health check"},
		{"topic made before the broker is up", composeFile, "condition: service_healthy", "condition: service_started", "topic does not wait"},
		{"consumer started before the topic is there", composeFile, "    depends_on:\n      topic: {condition: service_completed_successfully}\n    command:\n      - --drain", "    command:\n      - --drain", "wasmton does not wait"},
		{"a one-shot that starts again", composeFile, "      - --replication-factor=1\n", "      - --replication-factor=1\n    restart: always\n", "restart"},
		{"another Kafka in one place", composeFile, "image: apache/kafka:4.3.1 # for", "image: apache/kafka # for", "has no tag"},
		{"an address that is not advertised", composeFile, "      - kafka:19092\n", "      - kafka:9092\n", "kafka:9092"},
		{"a listener without a protocol", composeFile, "INTERNAL:PLAINTEXT,", "", "INTERNAL"},
		{"a listener advertised on another port", composeFile, "INTERNAL://kafka:19092", "INTERNAL://kafka:19093", "19093"},
		{"an address of this machine that is not published", composeFile, "127.0.0.1:9092:9092", "127.0.0.1:9093:9092", "localhost:9092"},
		{"a port open to the network", composeFile, "127.0.0.1:9464:9464", "9464:9464", "127.0.0.1"},
		{"metrics that are not published", composeFile, "--metrics-addr=:9464", "--metrics-addr=:9465", "9465"},
		{"another topic", composeFile, "--topic=tasks", "--topic=task", "topic"},
		{"another topic for the samples", composeFile, "--topic tasks <", "--topic task <", "topic"},
		{"samples that are not there", composeFile, "./examples/tasks.jsonl:", "./examples/tasks.json:", "tasks.json"},
		{"a Dockerfile that is not there", composeFile, "dockerfile: deploy/Dockerfile", "dockerfile: Dockerfile", "Dockerfile"},
		{"a target that is not there", composeFile, "target: example", "target: examples", "examples"},
		{"a module that is not in the image", composeFile, "- /processor.wasm", "- /tasks.wasm", "/tasks.wasm"},
		{"a directory that nothing is mounted on", composeFile, "--dir=/data::/", "--dir=/dat::/", "/dat"},
		{"a directory that is not in the image", dockerfileFile, "/out/data /data", "/out/data /messages", "/data"},
		{"messages watched in another place", composeFile, "/data/messages]", "/messages]", "messages"},
		{"a stop shorter than the drain", composeFile, "stop_grace_period: 30s", "stop_grace_period: 20s", "stop_grace_period"},
		{"the default stop", composeFile, "    stop_grace_period: 30s\n", "", "stop_grace_period"},
		{"a flag that does not exist", composeFile, "- --dir=/data::/\n", "- --dir=/data::/\n      - --dirs=/\n", "unknown flag --dirs"},
		{"a value that is none", composeFile, "--metrics-addr=:9464", "--metrics-addr=:9464\n      - --concurrency=x", "concurrency"},
	})
}

func checkCompose(t *testing.T, f files) problems {
	var p problems
	// The loader validates against the specification's schema and then checks that
	// what services refer to is there.
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, composeFile), Content: []byte(f[composeFile])}},
	})
	if err != nil {
		p.addf("%s: %v", composeFile, err)
		return p
	}
	c := &compose{problems: &p, project: project, files: f}
	for _, name := range []string{"kafka", "topic", "tasks", "wasmton", "messages"} {
		if _, ok := project.Services[name]; !ok {
			p.addf("%s has no service %s", composeFile, name)
		}
	}
	if len(p) > 0 {
		return p
	}
	for _, name := range slices.Sorted(maps.Keys(project.Services)) {
		c.checkService(project.Services[name])
	}
	c.checkBroker()
	c.checkWasmton(t)
	return p
}

// compose is a compose file that is being checked.
type compose struct {
	*problems
	project *types.Project
	files   files
}

func (c *compose) checkService(s types.ServiceConfig) {
	if s.Build == nil && !pinned(s.Image) {
		c.addf("service %s: image %s has no tag that pins it", s.Name, s.Image)
	}
	for name, dependency := range s.DependsOn {
		other := c.project.Services[name]
		switch dependency.Condition {
		case types.ServiceConditionHealthy:
			if other.HealthCheck == nil || other.HealthCheck.Disable {
				c.addf("service %s waits for %s to be healthy, which has no health check", s.Name, name)
			}
		case types.ServiceConditionCompletedSuccessfully:
			if other.Restart != "" && other.Restart != types.RestartPolicyNo {
				c.addf("service %s waits for %s to end, whose restart is %s", s.Name, name, other.Restart)
			}
		}
	}
	for _, port := range s.Ports {
		if port.HostIP != "127.0.0.1" {
			c.addf("service %s: port %s is open to the network; publish it on 127.0.0.1", s.Name, port.Published)
		}
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeBind {
			if _, err := os.Stat(v.Source); err != nil {
				c.addf("service %s mounts %v", s.Name, err)
			}
		}
	}
	if s.Build != nil {
		c.checkBuild(s)
	}
}

func (c *compose) checkBuild(s types.ServiceConfig) {
	text, ok := c.files[s.Build.Dockerfile]
	if !ok || s.Build.Context != root {
		c.addf("service %s: builds %s in %s; want %s in %s", s.Name, s.Build.Dockerfile, s.Build.Context, dockerfileFile, root)
		return
	}
	d, err := parseDockerfile(text)
	if err != nil {
		c.addf("service %s: %s: %v", s.Name, s.Build.Dockerfile, err)
		return
	}
	if d.named(s.Build.Target) == nil {
		c.addf("service %s: %s has no stage %s", s.Name, s.Build.Dockerfile, s.Build.Target)
	}
}

// waitsFor says whether a service starts only after name has met the condition,
// be it by way of others.
func (c *compose) waitsFor(service, name, condition string) bool {
	for direct, dependency := range c.project.Services[service].DependsOn {
		if direct == name && dependency.Condition == condition || c.waitsFor(direct, name, condition) {
			return true
		}
	}
	return false
}

var (
	brokerAddress = regexp.MustCompile(`\bkafka:\d+\b`)
	topicFlag     = regexp.MustCompile(`--topic[= ](\S+)`)
)

// words is what a service runs.
func words(s types.ServiceConfig) string {
	all := slices.Concat([]string(s.Entrypoint), []string(s.Command))
	if s.HealthCheck != nil {
		all = append(all, s.HealthCheck.Test...)
	}
	return strings.Join(all, " ")
}

// checkBroker holds what Kafka listens on against what it says to its clients,
// and that against what they use.
func (c *compose) checkBroker() {
	kafka := c.project.Services["kafka"]
	setting := func(name string) string {
		if v := kafka.Environment[name]; v != nil {
			return *v
		}
		c.addf("service kafka has no %s", name)
		return ""
	}
	// NAME://host:port each.
	split := func(list string) map[string]string {
		byName := map[string]string{}
		for listener := range strings.SplitSeq(list, ",") {
			name, address, _ := strings.Cut(listener, "://")
			byName[name] = address
		}
		return byName
	}
	listeners := split(setting("KAFKA_LISTENERS"))
	advertised := split(setting("KAFKA_ADVERTISED_LISTENERS"))
	protocols := setting("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP")
	for _, name := range slices.Sorted(maps.Keys(listeners)) {
		if !slices.Contains(strings.Split(protocols, ","), name+":PLAINTEXT") {
			c.addf("service kafka: listener %s has no protocol", name)
		}
	}
	for _, role := range []string{"KAFKA_INTER_BROKER_LISTENER_NAME", "KAFKA_CONTROLLER_LISTENER_NAMES"} {
		if name := setting(role); listeners[name] == "" {
			c.addf("service kafka: %s: no listener %s", role, name)
		}
	}
	inside := map[string]bool{}
	for name, address := range advertised {
		host, port, _ := strings.Cut(address, ":")
		if listeners[name] != ":"+port {
			c.addf("service kafka advertises %s at port %s and listens on %s", name, port, listeners[name])
		}
		switch host {
		case "kafka":
			inside[address] = true
		case "localhost":
			if !c.published(kafka, port, port) {
				c.addf("service kafka advertises %s, which is not published", address)
			}
		default:
			c.addf("service kafka advertises %s: no such host", address)
		}
	}

	topics := map[string]string{}
	for name, s := range c.project.Services {
		for _, address := range brokerAddress.FindAllString(words(s), -1) {
			if !inside[address] {
				c.addf("service %s uses %s, which the broker does not advertise", name, address)
			}
		}
		if m := topicFlag.FindStringSubmatch(words(s)); m != nil {
			topics[name] = m[1]
		}
	}
	if !c.waitsFor("topic", "kafka", types.ServiceConditionHealthy) {
		c.addf("service topic does not wait for kafka to be healthy")
	}
	for _, name := range []string{"tasks", "wasmton"} {
		if !c.waitsFor(name, "topic", types.ServiceConditionCompletedSuccessfully) {
			c.addf("service %s does not wait for the topic", name)
		}
	}
	if topics["topic"] == "" || topics["tasks"] != topics["topic"] {
		c.addf("service topic makes topic %q, and tasks writes to %q", topics["topic"], topics["tasks"])
	}
}

// published says whether a service's port can be reached at a port of this machine.
func (c *compose) published(s types.ServiceConfig, local, target string) bool {
	return slices.ContainsFunc(s.Ports, func(p types.ServicePortConfig) bool {
		return p.Published == local && strconv.FormatUint(uint64(p.Target), 10) == target
	})
}

func (c *compose) checkWasmton(t *testing.T) {
	s := c.project.Services["wasmton"]
	in, err := parseInvocation(s.Command)
	if err != nil {
		c.addf("service wasmton: %v", err)
		return
	}
	if err := accepts(t, nil, s.Command); err != nil {
		c.addf("service wasmton: %v", err)
	}
	if m := topicFlag.FindStringSubmatch(words(c.project.Services["topic"])); len(m) == 0 || m[1] != in.topic {
		c.addf("service wasmton reads topic %q, service topic makes %q", in.topic, m)
	}
	drain, err := time.ParseDuration(in.flags["drain-timeout"])
	if err != nil {
		c.addf("service wasmton: --drain-timeout: %v", err)
	}
	if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) <= drain {
		c.addf("service wasmton: stop_grace_period must be longer than the drain's %v", drain)
	}
	if port := strings.TrimPrefix(in.flags["metrics-addr"], ":"); !c.published(s, port, port) {
		c.addf("service wasmton: metrics port %s is not published", port)
	}

	// The guest's / is a volume, which the image has a directory for, of its user.
	dir, _, _ := strings.Cut(in.flags["dir"], "::")
	volume := mountedOn(s, dir)
	if volume == "" {
		c.addf("service wasmton: no volume is mounted on --dir's %s", dir)
	}
	messages := c.project.Services["messages"]
	file := messages.Command[len(messages.Command)-1]
	if path.Base(file) != "messages" || mountedOn(messages, path.Dir(file)) != volume {
		c.addf("service messages watches %s, which is not where the processor writes messages", file)
	}
	d, err := parseDockerfile(c.files[dockerfileFile])
	if err != nil {
		c.addf("%s: %v", dockerfileFile, err)
		return
	}
	if stage := d.named(s.Build.Target); stage != nil {
		for _, name := range []string{in.processor, dir} {
			if !d.has(stage, name) {
				c.addf("service wasmton: stage %s of the image has no %s", stage.Name, name)
			}
		}
	}
}

// mountedOn returns the named volume on a directory of a service, or nothing.
func mountedOn(s types.ServiceConfig, dir string) string {
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume && v.Target == dir {
			return v.Source
		}
	}
	return ""
}
