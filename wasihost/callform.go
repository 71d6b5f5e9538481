package wasihost

import (
	"fmt"
	"strconv"
	"strings"
)

// callForm says how a call's arguments and results are written for people. Its
// text is a list of words NAME:KIND, one for each parameter or, for the kinds that
// take an address and a number, for two. Behind a bar stand those that the call
// gives back: parameters too, addresses at which the result lies.
type callForm struct {
	args, results []field
	plain         bool // the result is a number, not an errno
}

type field struct {
	name, kind string
	param      int // its first parameter
}

// callForms are those of all that can be imported.
var callForms = map[string]*callForm{
	"poll_task": plainForm("buf:address cap:signed"),
	"task_size": plainForm(""),

	"args_get":                form("argv:skip buf:skip"),
	"args_sizes_get":          form("| count:word bytes:word"),
	"environ_get":             form("environ:skip buf:skip"),
	"environ_sizes_get":       form("| count:word bytes:word"),
	"clock_res_get":           form("clock:clock | resolution:long"),
	"clock_time_get":          form("clock:clock precision:skip | time:long"),
	"fd_advise":               form("fd:signed offset:number len:number advice:advice"),
	"fd_allocate":             form("fd:signed offset:number len:number"),
	"fd_close":                form("fd:signed"),
	"fd_datasync":             form("fd:signed"),
	"fd_fdstat_get":           form("fd:signed | stat:fdstat"),
	"fd_fdstat_set_flags":     form("fd:signed flags:fdflags"),
	"fd_fdstat_set_rights":    form("fd:signed rights:rights inheriting:rights"),
	"fd_filestat_get":         form("fd:signed | stat:filestat"),
	"fd_filestat_set_size":    form("fd:signed size:number"),
	"fd_filestat_set_times":   form("fd:signed atime:number mtime:number which:timeflags"),
	"fd_pread":                form("fd:signed room:room offset:number | n:word"),
	"fd_prestat_get":          form("fd:signed | stat:prestat"),
	"fd_prestat_dir_name":     form("fd:signed | name:text"),
	"fd_pwrite":               form("fd:signed data:data offset:number | n:word"),
	"fd_read":                 form("fd:signed room:room | n:word"),
	"fd_readdir":              form("fd:signed buf:buffer cookie:number | n:word"),
	"fd_renumber":             form("fd:signed to:signed"),
	"fd_seek":                 form("fd:signed offset:signed64 whence:whence | at:long"),
	"fd_sync":                 form("fd:signed"),
	"fd_tell":                 form("fd:signed | at:long"),
	"fd_write":                form("fd:signed data:data | n:word"),
	"path_create_directory":   form("dir:signed path:text"),
	"path_filestat_get":       form("dir:signed lookup:lookup path:text | stat:filestat"),
	"path_filestat_set_times": form("dir:signed lookup:lookup path:text atime:number mtime:number which:timeflags"),
	"path_link":               form("dir:signed lookup:lookup path:text to_dir:signed to:text"),
	"path_open":               form("dir:signed lookup:lookup path:text open:oflags rights:rights inheriting:skip flags:fdflags | fd:word"),
	"path_readlink":           form("dir:signed path:text buf:buffer | n:word"),
	"path_remove_directory":   form("dir:signed path:text"),
	"path_rename":             form("dir:signed path:text to_dir:signed to:text"),
	"path_symlink":            form("target:text dir:signed path:text"),
	"path_unlink_file":        form("dir:signed path:text"),
	"poll_oneoff":             form("waits:skip events:skip subscriptions:number | events:word"),
	"proc_exit":               form("status:signed"),
	"proc_raise":              form("signal:number"),
	"random_get":              form("buf:buffer"),
	"sched_yield":             form(""),
	"sock_accept":             form("fd:signed flags:fdflags | fd:word"),
	"sock_recv":               form("fd:signed room:room flags:number | n:word flags:skip"),
	"sock_send":               form("fd:signed data:data flags:number | n:word"),
	"sock_shutdown":           form("fd:signed how:number"),
}

// twoParams are the kinds that are an address and a number.
var twoParams = map[string]bool{"text": true, "data": true, "room": true, "buffer": true}

func form(text string) *callForm {
	f := &callForm{}
	to, param := &f.args, 0
	for word := range strings.FieldsSeq(text) {
		if word == "|" {
			to = &f.results
			continue
		}
		name, kind, _ := strings.Cut(word, ":")
		*to = append(*to, field{name, kind, param})
		if param++; twoParams[kind] {
			param++
		}
	}
	return f
}

func plainForm(text string) *callForm {
	f := form(text)
	f.plain = true
	return f
}

// arguments writes what the call was given.
func (f *callForm) arguments(args []uint64, memory guestMemory) string {
	return join(f.args, ", ", args, memory)
}

// result writes what the call gave.
func (f *callForm) result(args []uint64, result int32, memory guestMemory) string {
	switch {
	case f.plain:
		return strconv.Itoa(int(result))
	case result != errnoSuccess:
		return errnoName(result)
	case len(f.results) == 0:
		return "ok"
	}
	return strings.TrimSpace("ok " + join(f.results, " ", args, memory))
}

func join(fields []field, separator string, args []uint64, memory guestMemory) string {
	var list []string
	for _, f := range fields {
		if text := f.text(args[f.param:], memory); text != "" {
			list = append(list, f.name+"="+text)
		}
	}
	return strings.Join(list, separator)
}

// text is the field's value, "" where it is not worth a word. What lies outside of
// memory is written as its address: the call will say what it thinks of it.
func (f field) text(args []uint64, memory guestMemory) string {
	v := args[0]
	if names, ok := flagNames[f.kind]; ok {
		return flagText(v, names)
	}
	if names, ok := choices[f.kind]; ok {
		if v < uint64(len(names)) {
			return names[v]
		}
		return strconv.FormatUint(v, 10)
	}
	switch f.kind {
	case "number":
		return strconv.FormatUint(v, 10)
	case "signed":
		return strconv.Itoa(int(int32(uint32(v))))
	case "signed64":
		return strconv.FormatInt(int64(v), 10)
	case "address":
		return fmt.Sprintf("0x%x", v)
	case "buffer":
		return strconv.FormatUint(args[1], 10)
	case "text":
		b, ok := memory.span(uint32(v), args[1])
		if !ok {
			return outsideText(v, args[1])
		}
		return quoted(b, maxPathText)
	case "data", "room":
		return vectorText(f.kind == "data", uint32(v), args[1], memory)
	case "word", "long", "fdstat", "filestat", "prestat":
		return pointeeText(f.kind, uint32(v), memory)
	}
	return ""
}

// What a trace shows of texts, in bytes.
const (
	maxPathText = 256
	maxDataText = 32
)

func quoted(b []byte, most int) string {
	if len(b) > most {
		return strconv.QuoteToASCII(string(b[:most])) + "…"
	}
	return strconv.QuoteToASCII(string(b))
}

func outsideText(addr, n uint64) string {
	return fmt.Sprintf("%d bytes at 0x%x, outside of memory", n, addr)
}

// vectorText writes a list of pieces: what is in them, or how much room there is.
func vectorText(content bool, addr uint32, n uint64, memory guestMemory) string {
	list, ok := memory.span(addr, 8*n)
	if !ok {
		return outsideText(uint64(addr), 8*n)
	}
	total := uint64(0)
	var head []byte
	for ; len(list) > 0; list = list[8:] {
		at, size := mailbox(list).word(0), uint64(mailbox(list).word(4))
		total += size
		p, ok := memory.span(at, size)
		if !ok {
			return outsideText(uint64(at), size)
		}
		head = append(head, p[:min(len(p), maxDataText+1-len(head))]...)
	}
	if !content {
		return strconv.FormatUint(total, 10)
	}
	text := quoted(head, maxDataText)
	if total > maxDataText {
		text += fmt.Sprintf(" (%d bytes)", total)
	}
	return text
}

// pointeeText writes what lies at an address.
func pointeeText(kind string, addr uint32, memory guestMemory) string {
	size := map[string]uint64{"word": 4, "long": 8, "fdstat": 24, "filestat": 64, "prestat": 8}[kind]
	b, ok := memory.span(addr, size)
	if !ok {
		return outsideText(uint64(addr), size)
	}
	at := mailbox(b)
	switch kind {
	case "word":
		return strconv.FormatUint(uint64(at.word(0)), 10)
	case "long":
		return strconv.FormatUint(at.long(0), 10)
	case "fdstat":
		text := typeText(b[0])
		if flags := flagText(uint64(at.word(0)>>16), flagNames["fdflags"]); flags != "" {
			text += "," + flags
		}
		return text
	case "filestat":
		return fmt.Sprintf("%s,%d bytes", typeText(b[16]), at.long(32))
	}
	return fmt.Sprintf("directory,%d bytes of name", at.word(4)) // prestat
}

func typeText(t uint8) string {
	if names := choices["filetype"]; int(t) < len(names) {
		return names[t]
	}
	return strconv.Itoa(int(t))
}

// flagText writes a set of flags: the names of its bits, or a number where there
// are many or some that have no name; "" for an empty set.
func flagText(v uint64, names []string) string {
	const many = 6
	var list []string
	for i, name := range names {
		if v&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	switch {
	case v>>len(names) != 0:
		return fmt.Sprintf("0x%x", v)
	case len(names) == len(list) && len(list) > many:
		return "all"
	case len(list) > many:
		return fmt.Sprintf("0x%x", v)
	}
	return strings.Join(list, "|")
}

// flagNames are the names of the bits of WASI preview 1's sets, lowest first.
var flagNames = map[string][]string{
	"lookup":    {"follow"},
	"oflags":    {"creat", "directory", "excl", "trunc"},
	"fdflags":   {"append", "dsync", "nonblock", "rsync", "sync"},
	"timeflags": {"atime", "atime_now", "mtime", "mtime_now"},
	"rights": {
		"fd_datasync", "fd_read", "fd_seek", "fd_fdstat_set_flags", "fd_sync", "fd_tell", "fd_write", "fd_advise",
		"fd_allocate", "path_create_directory", "path_create_file", "path_link_source", "path_link_target",
		"path_open", "fd_readdir", "path_readlink", "path_rename_source", "path_rename_target", "path_filestat_get",
		"path_filestat_set_size", "path_filestat_set_times", "fd_filestat_get", "fd_filestat_set_size",
		"fd_filestat_set_times", "path_symlink", "path_remove_directory", "path_unlink_file",
		"poll_fd_readwrite", "sock_shutdown",
	},
}

// choices are the names of the values of WASI preview 1's enumerations.
var choices = map[string][]string{
	"clock":  {"realtime", "monotonic", "process_cputime", "thread_cputime"},
	"whence": {"set", "cur", "end"},
	"advice": {"normal", "sequential", "random", "willneed", "dontneed", "noreuse"},
	"filetype": {
		"unknown", "block_device", "character_device", "directory", "regular_file", "socket_dgram", "socket_stream",
		"symbolic_link",
	},
}

// errnoNames are the names of WASI preview 1's errnos by number, without their E.
var errnoNames = strings.Fields(`SUCCESS 2BIG ACCES ADDRINUSE ADDRNOTAVAIL AFNOSUPPORT AGAIN ALREADY BADF BADMSG
	BUSY CANCELED CHILD CONNABORTED CONNREFUSED CONNRESET DEADLK DESTADDRREQ DOM DQUOT
	EXIST FAULT FBIG HOSTUNREACH IDRM ILSEQ INPROGRESS INTR INVAL IO
	ISCONN ISDIR LOOP MFILE MLINK MSGSIZE MULTIHOP NAMETOOLONG NETDOWN NETRESET
	NETUNREACH NFILE NOBUFS NODEV NOENT NOEXEC NOLCK NOLINK NOMEM NOMSG
	NOPROTOOPT NOSPC NOSYS NOTCONN NOTDIR NOTEMPTY NOTRECOVERABLE NOTSOCK NOTSUP NOTTY
	NXIO OVERFLOW OWNERDEAD PERM PIPE PROTO PROTONOSUPPORT PROTOTYPE RANGE ROFS
	SPIPE SRCH STALE TIMEDOUT TXTBSY XDEV NOTCAPABLE`)

func errnoName(errno int32) string {
	if errno < 0 || int(errno) >= len(errnoNames) {
		return fmt.Sprintf("errno %d", errno)
	}
	return "E" + errnoNames[errno]
}
