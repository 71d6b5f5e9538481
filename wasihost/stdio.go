package wasihost

import (
	"bytes"
	"fmt"

	wt "github.com/bytecodealliance/wasmtime-go/v14"

	"github.com/wasmton/wasmton/wasihost/shim"
)

// maxLine bounds a line of output: a longer one is handed over in pieces.
const maxLine = 64 << 10

// output puts together lines from the pieces that the guest wrote. A line ends at
// a newline, or with its task.
type output struct {
	to      func(task int, stream Stream, line []byte) // nil where the shim is mute
	base    int                                        // index in the batch of the first task that is laid down
	pending bool                                       // a partial line is held
	partial [3][]byte                                  // by stream; element 0 is not used
	task    int                                        // whose the partial lines are, as the shim counts
	limit   int64                                      // bytes that are taken of a task; 0 for all
	taken   int64                                      // of the task at hand
	cut     int64                                      // bytes of it beyond the limit
}

// hostDrain is called by the shim when the output area is full.
func hostDrain(in *Instance, _ []wt.Val) (int32, error) {
	_, err := in.output.read(in.box)
	return 0, err
}

// read empties the output area. Where handing over fails it returns the task whose
// line it was.
func (o *output) read(box mailbox) (task int, err error) {
	defer o.rescue(&task, &err)
	n := box.word(shim.OutputLen)
	box.setWord(shim.OutputLen, 0)
	for area := box[shim.Output:][:n]; len(area) > 0; {
		head := area
		stream, size := Stream(head.word(4)>>16), head.word(4)&0xffff
		o.write(int(int32(head.word(0))), stream, area[shim.OutputHead:][:size])
		area = area[shim.OutputHead+size:]
	}
	return 0, nil
}

// end hands over what the task that wrote last has written without a newline.
func (o *output) end() (task int, err error) {
	defer o.rescue(&task, &err)
	o.endTask()
	return 0, nil
}

// rescue turns a panic of the receiver's into an error.
func (o *output) rescue(task *int, err *error) {
	if v := recover(); v != nil {
		*task, *err = o.task, &panicError{value: v}
	}
}

// write takes a piece of a stream.
func (o *output) write(task int, stream Stream, data []byte) {
	if task != o.task {
		o.endTask()
		o.task = task
	}
	if room := o.limit - o.taken; o.limit > 0 && int64(len(data)) > room {
		o.cut += int64(len(data)) - room
		if data = data[:room]; room == 0 {
			return
		}
	}
	o.taken += int64(len(data))
	for {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		o.add(stream, line, whole)
		if !whole {
			return
		}
		data = rest
	}
}

// add appends to the stream's line, and hands it over where it is whole or long.
func (o *output) add(stream Stream, data []byte, whole bool) {
	held := &o.partial[stream]
	for len(*held)+len(data) > maxLine {
		n := maxLine - len(*held)
		*held = append(*held, data[:n]...)
		data = data[n:]
		o.hand(stream, *held)
		*held = nil
	}
	switch {
	case !whole:
		*held = append(*held, data...)
		o.pending = o.pending || len(*held) > 0
	case len(*held) == 0:
		o.hand(stream, trimReturn(data))
	default:
		line := append(*held, data...)
		*held = nil
		o.hand(stream, trimReturn(line))
	}
}

// endTask hands over what has no newline, and says what was left out.
func (o *output) endTask() {
	cut := o.cut
	o.taken, o.cut = 0, 0
	if o.pending {
		o.pending = false
		for s := Stdout; s <= Stderr; s++ {
			if line := o.partial[s]; len(line) > 0 {
				o.partial[s] = nil
				o.hand(s, line)
			}
		}
	}
	if cut > 0 {
		o.hand(Stderr, fmt.Appendf(nil, "wasmton: %d more bytes of output were left out: --log-limit is %s", cut, bytesText(o.limit)))
	}
}

func (o *output) hand(stream Stream, line []byte) {
	task := o.task
	if task >= 0 {
		task += o.base
	}
	o.to(task, stream, line)
}

func trimReturn(line []byte) []byte { return bytes.TrimSuffix(line, []byte("\r")) }
