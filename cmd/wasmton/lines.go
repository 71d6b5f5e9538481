package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// inputLine is a line of the input, or the error that ended it.
type inputLine struct {
	text []byte
	err  error
}

// readLines reads lines of at most limit bytes, without their ends, and closes
// the channel after the last one or after an error.
//
// Its goroutine is the one that nobody joins: a read of a terminal or a pipe
// can't be called off. When ctx ends it stops at the next line, or with the
// process.
func readLines(ctx context.Context, r io.Reader, limit int) <-chan inputLine {
	lines := make(chan inputLine) // no buffer: lines may be large
	go func() {
		defer close(lines)
		in := bufio.NewReaderSize(r, 64<<10)
		for n := 1; ; n++ {
			text, err := readLine(in, limit)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				err = fmt.Errorf("line %d of the input: %w", n, err)
			}
			select {
			case lines <- inputLine{text, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// readLine returns the next line without its end, \n or \r\n, in a slice of its
// own. The last line needs no end. At the end of the input the error is io.EOF.
func readLine(in *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		full := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case len(bytes.TrimRight(line, "\r\n")) > limit:
			return nil, fmt.Errorf("is longer than %d bytes, the most that a task can have", limit)
		case full:
			continue
		case err == io.EOF && len(line) == 0, err != nil && err != io.EOF:
			return nil, err
		}
		if text, ended := bytes.CutSuffix(line, []byte("\n")); ended {
			line = bytes.TrimSuffix(text, []byte("\r"))
		}
		return line, nil
	}
}

// produceLines makes a record of each line and waits until the broker has them
// all.
func produceLines(ctx context.Context, broker, topic string, lines <-chan inputLine, separator string) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(broker),
		kgo.DefaultProduceTopic(topic),
		kgo.ProducerLinger(0), // a person who types a line waits for it
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(maxTask+64<<10),
		kgo.BrokerMaxWriteBytes(2*maxTask),
		kgo.MaxBufferedBytes(2*maxTask),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	produced := func(_ *kgo.Record, err error) {
		if err != nil {
			cancel(fmt.Errorf("producing a task: %w", err))
		}
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case line, more := <-lines:
			switch {
			case !more:
				_ = client.Flush(ctx) // fails only if ctx ends
				return context.Cause(ctx)
			case line.err != nil:
				return line.err
			}
			client.Produce(ctx, lineRecord(line.text, separator), produced)
		}
	}
}

// lineRecord splits a line into key and task. Without a separator in it, or with
// none asked for, the whole line is the task.
func lineRecord(line []byte, separator string) *kgo.Record {
	if separator != "" {
		if key, task, found := bytes.Cut(line, []byte(separator)); found {
			return &kgo.Record{Key: key, Value: task}
		}
	}
	return &kgo.Record{Value: line}
}
