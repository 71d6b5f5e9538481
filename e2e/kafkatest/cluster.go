package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// startTimeout bounds the start of a node. It takes 3 to 10 s on two cores.
const startTimeout = 90 * time.Second

// stopTimeout bounds how long a node may take over an orderly stop.
const stopTimeout = 20 * time.Second

// Cluster is one broker, or three. Its methods must not be called concurrently.
type Cluster struct {
	cfg       Config
	dir       string
	temporary bool // dir is ours to remove
	classpath string
	nodes     []*node
}

// Start starts the nodes of a cluster and returns when all answer. On an error,
// which tells the end of what the node said, none is left running.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	cfg.ensureDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cp, err := classpath(ctx)
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, dir: cfg.Dir, classpath: cp}
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "kafkatest-*"); err != nil {
			return nil, fmt.Errorf("kafkatest: %w", err)
		}
		c.temporary = true
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	addresses, err := c.cfg.addresses()
	if err != nil {
		return err
	}
	for i, a := range addresses {
		n := &node{id: i + 1, dir: filepath.Join(dir, fmt.Sprintf("node%d", i+1)), port: a.client}
		if err := n.configure(c.cfg.properties(i, n.dir, addresses)); err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
	}

	// All at once: three nodes need each other to come up.
	var wg sync.WaitGroup
	errs := make([]error, len(c.nodes))
	for i, n := range c.nodes {
		wg.Go(func() {
			if errs[i] = n.format(ctx, c.classpath); errs[i] == nil {
				errs[i] = n.start(c.classpath, c.cfg.HeapMB, c.cfg.Detach)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := c.await(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// addresses chooses the ports of all nodes.
func (c *Config) addresses() ([]address, error) {
	ports := make([]int, 2*c.Nodes)
	for i := range ports {
		ports[i] = c.Port + i
	}
	if c.Port == 0 {
		if err := freePorts(ports); err != nil {
			return nil, err
		}
	}
	addresses := make([]address, c.Nodes)
	for i := range addresses {
		addresses[i] = address{client: ports[2*i], controller: ports[2*i+1]}
	}
	return addresses, nil
}

// freePorts fills ports with free ones, each another.
func freePorts(ports []int) error {
	var listeners []net.Listener
	// They close when all ports are known, so that none comes twice.
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	for i := range ports {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("kafkatest: no free port: %w", err)
		}
		listeners = append(listeners, l)
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return nil
}

// Brokers returns the addresses of all nodes, host:port each.
func (c *Cluster) Brokers() []string {
	brokers := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		brokers[i] = n.address()
	}
	return brokers
}

// Bootstrap returns the addresses of all nodes with commas between.
func (c *Cluster) Bootstrap() string { return strings.Join(c.Brokers(), ",") }

// Kill ends the node with the given number, from 1, as a power cut would: with
// SIGKILL. Its data stays for Restart.
func (c *Cluster) Kill(number int) error { return c.nodes[number-1].kill() }

// Restart starts a node again that was killed, and returns when it answers.
func (c *Cluster) Restart(ctx context.Context, number int) error {
	n := c.nodes[number-1]
	if err := n.start(c.classpath, c.cfg.HeapMB, c.cfg.Detach); err != nil {
		return err
	}
	return c.await(ctx, n)
}

// Stop stops all nodes that run. Where the data is temporary, it removes the data
// and the nodes need no orderly end. The error tells of nodes that had to be
// killed although their data stays.
func (c *Cluster) Stop() error {
	errs := make([]error, len(c.nodes))
	var wg sync.WaitGroup
	for i, n := range c.nodes {
		wg.Go(func() {
			if c.temporary {
				errs[i] = n.kill()
			} else {
				errs[i] = n.stop(stopTimeout)
			}
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	if c.temporary {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

// await returns when n answers and counts itself and all the others as members
// of the cluster, or with an error when its process ends or takes too long.
func (c *Cluster) await(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.address()), kgo.RetryTimeout(time.Second))
	if err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	defer cl.Close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		known, err := kadm.NewClient(cl).ListBrokers(ctx)
		if err == nil && len(known) >= c.running() {
			return nil
		}
		select {
		case <-tick.C:
		case <-n.done:
			return n.failed("ended while it started")
		case <-ctx.Done():
			return n.failed(fmt.Sprintf("does not answer (%d of %d nodes known, %v)", len(known), len(c.nodes), err))
		}
	}
}

// running counts the nodes whose process lives.
func (c *Cluster) running() (n int) {
	for _, node := range c.nodes {
		if node.alive() {
			n++
		}
	}
	return n
}
