package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

// maxTask is the size of the largest task that dev takes: what a Kafka broker
// with its default settings reads of one request, less the room for what goes
// around a record.
const maxTask = 100<<20 - 64<<10

// devBroker is the broker inside the process: one node that any Kafka client can
// use. It serves until close.
type devBroker struct {
	*kfake.Cluster
	addr string // host:port, as clients are told it
	lock *os.File
}

// startBroker listens on addr; where that is "", on Kafka's usual port of
// 127.0.0.1 if it is free and else on another. With a dataDir its topics outlive
// the process.
func startBroker(addr, dataDir string) (_ *devBroker, err error) {
	b := &devBroker{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	options := []kfake.Opt{kfake.NumBrokers(1)}
	if dataDir != "" {
		if b.lock, err = lockDir(dataDir); err != nil {
			return nil, fmt.Errorf("--data %s: %w", dataDir, err)
		}
		options = append(options, kfake.DataDir(dataDir))
	}
	listener, err := devListener(addr)
	if err != nil {
		return nil, err
	}
	b.addr = listener.Addr().String()
	options = append(options, kfake.ListenFn(func(string, string) (net.Listener, error) { return listener, nil }))
	if b.Cluster, err = kfake.NewCluster(options...); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	return b, nil
}

func (b *devBroker) close() {
	if b.Cluster != nil {
		b.Cluster.Close()
	}
	if b.lock != nil {
		_ = b.lock.Close() // ends the lock
	}
}

// devListener listens where clients can reach us: the address that we listen on
// is also the one that the broker sends its clients to.
func devListener(addr string) (net.Listener, error) {
	if addr == "" {
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", defaultKafkaPort)); err == nil {
			return l, nil
		}
		return net.Listen("tcp", "127.0.0.1:0")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", addr, listenReason(err))
	}
	return l, nil
}

// checkListen checks the form of --listen.
func checkListen(addr string) error {
	if addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if n, nerr := strconv.Atoi(port); err != nil || nerr != nil || n < 0 || n > 65535 {
		return errors.New("write HOST:PORT; port 0 takes any that is free")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return errors.New("clients are sent to this address, so it must be one that they can reach: name an address of this machine, such as 127.0.0.1")
	}
	return nil
}

// lockDir makes dir and keeps other brokers out of it: two of them would write
// into each other's files.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "wasmton.lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another wasmton uses the directory")
		}
		return nil, err
	}
	return f, nil
}

// ensureTopic makes the topic unless the data directory had it. It returns the
// number of its partitions. want is 0 where the user does not care.
func (b *devBroker) ensureTopic(topic string, want int) (int, error) {
	if info := b.TopicInfo(topic); info != nil {
		have := len(b.PartitionInfos(topic))
		if want != 0 && want != have {
			return 0, usagef("--partitions %d: topic %q is in the data directory already and has %s", want, topic, counted(have, "partition"))
		}
		return have, nil
	}
	want = max(want, 1)
	// Room around a record: its batch has a header and the record may have a key.
	limit := strconv.Itoa(maxTask + 64<<10)
	if err := b.CreateTopic(topic, int32(want), map[string]string{"max.message.bytes": limit}); err != nil {
		return 0, fmt.Errorf("making topic %q: %w", topic, err)
	}
	return want, nil
}
