package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// newLogger makes the logger that all packages get.
func (o *logOptions) newLogger(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	switch {
	case o.verbose:
		level = slog.LevelDebug
	case o.quiet:
		level = slog.LevelWarn
	}
	if o.logFormat == formatJSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(&textHandler{w: w, mu: new(sync.Mutex), level: level})
}

// textHandler writes log records for people:
//
//	2026-11-20 14:01:05.123 INFO  tasks/0@12 stdout: hello
//
// What a record is about comes first: attributes topic, partition and offset
// become coordinates, and stream names the guest's stream. The other attributes
// follow the message, and values of several lines, such as backtraces, stand
// beneath it. Control characters are escaped, since messages carry what guests
// and brokers say: neither may write to somebody's terminal.
type textHandler struct {
	w      io.Writer
	mu     *sync.Mutex // orders writes; shared by all handlers made of one
	level  slog.Level
	attrs  []slog.Attr // given by With, group names before their keys
	groups string
}

func (h *textHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = slices.Clip(with.attrs)
	for _, a := range attrs {
		with.attrs = appendAttr(with.attrs, h.groups, a)
	}
	return &with
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.groups += name + "."
	return &with
}

// appendAttr resolves a and flattens groups to dotted keys.
func appendAttr(to []slog.Attr, prefix string, a slog.Attr) []slog.Attr {
	a.Value = a.Value.Resolve()
	if a.Value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range a.Value.Group() {
			to = appendAttr(to, prefix, inner)
		}
		return to
	}
	if a.Equal(slog.Attr{}) {
		return to
	}
	a.Key = prefix + a.Key
	return append(to, a)
}

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := slices.Clip(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = appendAttr(attrs, h.groups, a)
		return true
	})
	b := make([]byte, 0, 256)
	if !r.Time.IsZero() {
		b = r.Time.AppendFormat(b, "2006-01-02 15:04:05.000 ")
	}
	b = fmt.Appendf(b, "%-5s ", r.Level)

	take := func(key string) (string, bool) {
		i := slices.IndexFunc(attrs, func(a slog.Attr) bool { return a.Key == key })
		if i < 0 {
			return "", false
		}
		v := attrs[i].Value.String()
		attrs = slices.Delete(slices.Clone(attrs), i, i+1)
		return v, true
	}
	if topic, ok := take("topic"); ok {
		b = appendClean(b, topic)
		if partition, ok := take("partition"); ok {
			b = append(append(b, '/'), partition...)
		}
		if offset, ok := take("offset"); ok {
			b = append(append(b, '@'), offset...)
		}
		b = append(b, ' ')
	}
	if stream, ok := take("stream"); ok {
		b = append(append(b, stream...), ':')
		if r.Message != "" {
			b = append(b, ' ')
		}
	}
	message, beneath := firstLine(r.Message)
	b = appendClean(b, message)
	for i, a := range attrs {
		value := attrText(a.Value)
		line, more := firstLine(value)
		if i == 0 {
			b = append(b, ' ')
		}
		b = append(append(append(b, ' '), a.Key...), '=')
		if more == "" && needsQuotes(line) {
			b = strconv.AppendQuote(b, line)
		} else {
			b = appendClean(b, line)
		}
		beneath += more
	}
	b = append(b, '\n')
	for line := range strings.Lines(beneath) {
		b = append(b, "    "...)
		b = append(appendClean(b, strings.TrimRight(line, "\n")), '\n')
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.w.Write(b)
	return err
}

// firstLine splits s after its first line; rest ends with a line end or is "".
func firstLine(s string) (line, rest string) {
	line, rest, _ = strings.Cut(strings.TrimRight(s, "\n"), "\n")
	if rest != "" {
		rest += "\n"
	}
	return line, rest
}

func attrText(v slog.Value) string {
	switch v.Kind() {
	case slog.KindDuration:
		return v.Duration().Round(time.Microsecond).String()
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	}
	return v.String()
}

func needsQuotes(s string) bool {
	return s == "" || strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || unprintable(r) })
}

// unprintable says whether r could steer a terminal or turn text round. A tab is
// only white space.
func unprintable(r rune) bool { return r != '\t' && r != ' ' && !unicode.IsPrint(r) }

// appendClean appends s with its unprintable characters escaped.
func appendClean(b []byte, s string) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, s[0])
		case unprintable(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b = append(b, quoted[1:len(quoted)-1]...)
		default:
			b = append(b, s[:n]...)
		}
		s = s[n:]
	}
	return b
}
