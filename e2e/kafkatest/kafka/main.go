// Command kafka starts a real Kafka broker on this machine and feeds it, for
// trying wasmton by hand. scripts/kafka runs it.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmton/wasmton/e2e/kafkatest"
)

const usage = `usage: scripts/kafka COMMAND

  up [-nodes 1|3] [-port 9092]        start Apache Kafka on loopback, with the topics it had
  down [-wipe]                        stop it; -wipe forgets its topics too
  topic NAME [-partitions 3]          make a topic
  produce TOPIC [-key-separator SEP]  send each line of standard input as a record
  with COMMAND ARGUMENT...            run a command beside a broker of its own; an argument
                                      BOOTSTRAP stands for the broker's address
`

// errUsage is all that needs saying to whoever asked for nothing that there is.
var errUsage = errors.New("unknown command, or none")

func main() {
	err := run(os.Args[1:])
	if errors.Is(err, errUsage) {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kafka:", err)
		os.Exit(1)
	}
}

// dataDir is relative to the project's root, where scripts/kafka goes first.
var dataDir = filepath.Join(".cache", "kafka")

// bootstrapFile tells the other commands where the broker is.
var bootstrapFile = filepath.Join(dataDir, "bootstrap")

func run(args []string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	commands := map[string]func(context.Context, []string) error{
		"up": up, "down": down, "topic": makeTopic, "produce": produce, "with": with,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return errUsage
	}
	return commands[args[0]](ctx, args[1:])
}

// parse parses flags that may stand before or behind the arguments, and wants
// exactly as many arguments as names.
func parse(flags *flag.FlagSet, args []string, names ...string) ([]string, error) {
	var found []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			break
		}
		found, args = append(found, flags.Arg(0)), flags.Args()[1:]
	}
	if len(found) != len(names) {
		return nil, fmt.Errorf("%s takes %d arguments, %q, and got %q", flags.Name(), len(names), names, found)
	}
	return found, nil
}

func up(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	nodes := flags.Int("nodes", 1, "1 or 3")
	port := flags.Int("port", 9092, "where the first node listens")
	if _, err := parse(flags, args); err != nil {
		return err
	}
	running, err := kafkatest.Running(dataDir)
	if err != nil {
		return err
	}
	if len(running) > 0 {
		brokers, err := bootstrap()
		fmt.Printf("Kafka runs already: %s\n", strings.Join(brokers, ","))
		return err
	}
	c, err := kafkatest.Start(ctx, kafkatest.Config{Nodes: *nodes, Dir: dataDir, Port: *port, Detach: true})
	if err != nil {
		return err
	}
	if err := os.WriteFile(bootstrapFile, []byte(c.Bootstrap()), 0o644); err != nil {
		return err
	}
	fmt.Printf("Kafka is up: %s\nStop it with: scripts/kafka down\n", c.Bootstrap())
	return nil
}

func down(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("down", flag.ContinueOnError)
	wipe := flags.Bool("wipe", false, "forget its topics too")
	if _, err := parse(flags, args); err != nil {
		return err
	}
	n, err := kafkatest.Down(dataDir)
	if err != nil {
		return err
	}
	fmt.Printf("stopped (nodes: %d)\n", n)
	if *wipe {
		return os.RemoveAll(dataDir)
	}
	return nil
}

func makeTopic(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("topic", flag.ContinueOnError)
	partitions := flags.Int("partitions", 3, "how many partitions")
	names, err := parse(flags, args, "NAME")
	if err != nil {
		return err
	}
	cl, err := client()
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = kadm.NewClient(cl).CreateTopic(ctx, int32(*partitions), -1, nil, names[0])
	if errors.Is(err, kerr.TopicAlreadyExists) {
		fmt.Printf("topic %s is there already\n", names[0])
		return nil
	}
	if err == nil {
		fmt.Printf("made topic %s of %d partitions\n", names[0], *partitions)
	}
	return err
}

func produce(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("produce", flag.ContinueOnError)
	separator := flags.String("key-separator", "", "splits a line into key and value")
	names, err := parse(flags, args, "TOPIC")
	if err != nil {
		return err
	}
	cl, err := client(kgo.DefaultProduceTopic(names[0]))
	if err != nil {
		return err
	}
	defer cl.Close()

	var records []*kgo.Record
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if line != "" {
			records = append(records, record(strings.TrimRight(line, "\r\n"), *separator))
		}
		if err != nil {
			break
		}
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	fmt.Printf("sent %d records\n", len(records))
	return nil
}

func record(line, separator string) *kgo.Record {
	if key, value, ok := strings.Cut(line, separator); separator != "" && ok {
		return &kgo.Record{Key: []byte(key), Value: []byte(value)}
	}
	return &kgo.Record{Value: []byte(line)}
}

// with runs a command while a broker of its own runs, whose topics go with it.
func with(ctx context.Context, args []string) (err error) {
	if len(args) == 0 {
		return errUsage
	}
	c, err := kafkatest.Start(ctx, kafkatest.Config{HeapMB: 1024})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	for i, arg := range args {
		if arg == "BOOTSTRAP" {
			args[i] = c.Bootstrap()
		}
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

func bootstrap() ([]string, error) {
	text, err := os.ReadFile(bootstrapFile)
	if err != nil {
		return nil, fmt.Errorf("no broker of ours runs; start it with scripts/kafka up (%w)", err)
	}
	return strings.Split(string(text), ","), nil
}

func client(opts ...kgo.Opt) (*kgo.Client, error) {
	brokers, err := bootstrap()
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...))...)
}
