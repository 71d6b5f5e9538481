package kafkatest

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Config says what to start. The zero value is one node with its data in a
// temporary directory.
type Config struct {
	// Nodes is 1 or 3. Default 1. With 3, topics have three replicas, and a write
	// acknowledged by all is on two of them.
	Nodes int
	// Dir holds what the nodes write: data, configuration, logs. Default: a
	// temporary directory, which Stop removes. A directory that a cluster of as
	// many nodes left behind is taken up again, with its topics.
	Dir string
	// Port is where the first node listens for clients; each further listener takes
	// the next port. Default: free ports, which stay the same over a restart.
	Port int
	// HeapMB is the Java heap of a node in MiB. Default 512.
	HeapMB int
	// Properties are set on every node, over those of this package.
	Properties map[string]string
	// Detach lets the nodes live on when this process ends.
	Detach bool
}

func (c *Config) ensureDefaults() {
	if c.Nodes == 0 {
		c.Nodes = 1
	}
	if c.HeapMB == 0 {
		c.HeapMB = 512
	}
}

func (c *Config) validate() error {
	if c.Nodes != 1 && c.Nodes != 3 {
		return fmt.Errorf("kafkatest: %d nodes asked for; 1 and 3 are possible", c.Nodes)
	}
	return nil
}

// address is where a node listens.
type address struct{ client, controller int }

// properties returns the server.properties of the node with the given index.
func (c *Config) properties(index int, dir string, addresses []address) string {
	voters := make([]string, len(addresses))
	for i, a := range addresses {
		voters[i] = fmt.Sprintf("%d@127.0.0.1:%d", i+1, a.controller)
	}
	replicas := strconv.Itoa(c.Nodes)
	inSync := strconv.Itoa((c.Nodes + 1) / 2)
	own := addresses[index]

	p := map[string]string{
		"node.id":                        strconv.Itoa(index + 1),
		"process.roles":                  "broker,controller",
		"controller.quorum.voters":       strings.Join(voters, ","),
		"controller.listener.names":      "CONTROLLER",
		"inter.broker.listener.name":     "PLAINTEXT",
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"listeners":                      fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", own.client, own.controller),
		"advertised.listeners":           fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", own.client),
		"log.dirs":                       filepath.Join(dir, "data"),

		"auto.create.topics.enable":  "false",
		"default.replication.factor": replicas,
		"min.insync.replicas":        inSync,

		// The broker's own topics: three replicas by default, which one node can't
		// give, and 50 partitions, which take long to open.
		"offsets.topic.num.partitions":                     "3",
		"offsets.topic.replication.factor":                 replicas,
		"transaction.state.log.num.partitions":             "3",
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    inSync,
		"share.coordinator.state.topic.num.partitions":     "3",
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            inSync,

		// Seconds that a test would spend waiting: for more members to join, for a
		// dead one to be given up, for a dead node's partitions to move, for the
		// next round of compaction.
		"group.initial.rebalance.delay.ms": "0",
		"group.min.session.timeout.ms":     "500",
		"broker.heartbeat.interval.ms":     "300",
		"broker.session.timeout.ms":        "2000",
		"log.cleaner.backoff.ms":           "200",

		// A small machine.
		"num.network.threads":            "2",
		"num.io.threads":                 "4",
		"log.cleaner.dedupe.buffer.size": "16777216",
	}
	maps.Copy(p, c.Properties)

	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", name, p[name])
	}
	return b.String()
}

// logging sends what the broker warns of to standard output.
const logging = `rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = Console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %-5p %c{1}: %m%n
`
