package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTextLog(t *testing.T) {
	for _, c := range []struct {
		what string
		log  func(*slog.Logger)
		want string
	}{
		{"a message", func(l *slog.Logger) { l.Info("hello") }, "INFO  hello\n"},
		{"attributes follow", func(l *slog.Logger) { l.Warn("hello", "a", 1, "b", "two") }, "WARN  hello  a=1 b=two\n"},
		{"values that would be misread are quoted", func(l *slog.Logger) { l.Info("m", "a", "b c", "d", "", "e", `"`, "f", "x=y") }, `INFO  m  a="b c" d="" e="\"" f="x=y"` + "\n"},
		{
			"a record's coordinates come first",
			func(l *slog.Logger) { l.Error("failed", "offset", 12, "x", 1, "partition", 0, "topic", "tasks") },
			"ERROR tasks/0@12 failed  x=1\n",
		},
		{"a topic alone", func(l *slog.Logger) { l.Info("m", "topic", "tasks") }, "INFO  tasks m\n"},
		{
			"a guest's line names its stream",
			func(l *slog.Logger) { l.Info("hello", "stream", "stderr", "topic", "t", "partition", 1, "offset", 2) },
			"INFO  t/1@2 stderr: hello\n",
		},
		{"an offset of no topic stays an attribute", func(l *slog.Logger) { l.Info("m", "offset", 3) }, "INFO  m  offset=3\n"},
		{
			"further lines stand beneath",
			func(l *slog.Logger) { l.Error("failed", "error", errors.New("trap\n  0: run\n  1: start\n"), "n", 1) },
			"ERROR failed  error=trap n=1\n      0: run\n      1: start\n",
		},
		{"they can't steer a terminal either", func(l *slog.Logger) { l.Info("m", "e", "a\x1b\nb\x1b") }, "INFO  m  e=a\\x1b\n    b\\x1b\n"},
		{"so do those of the message", func(l *slog.Logger) { l.Error("one\ntwo", "n", 1) }, "ERROR one  n=1\n    two\n"},
		{
			"what a guest says can't steer a terminal",
			func(l *slog.Logger) { l.Info("\x1b[31mred\r\a\u202e\xff\ttab", "k", "\x1b]0;t\a") },
			`INFO  \x1b[31mred\r\a\u202e\xff` + "\ttab" + `  k="\x1b]0;t\a"` + "\n",
		},
		{"text of the world stays", func(l *slog.Logger) { l.Info("größer 日本 🎉") }, "INFO  größer 日本 🎉\n"},
		{"with keeps attributes", func(l *slog.Logger) { l.With("topic", "t", "a", 1).With("b", 2).Info("m", "c", 3) }, "INFO  t m  a=1 b=2 c=3\n"},
		{"groups become prefixes", func(l *slog.Logger) { l.WithGroup("g").With("a", 1).Info("m", "b", 2, slog.Group("h", "c", 3)) }, "INFO  m  g.a=1 g.b=2 g.h.c=3\n"},
		{"empty groups and attributes vanish", func(l *slog.Logger) { l.WithGroup("").Info("m", slog.Group("g"), slog.Attr{}) }, "INFO  m\n"},
		{"times and durations are short", func(l *slog.Logger) { l.Info("m", "d", 1234567*time.Nanosecond, "t", time.Unix(0, 0).UTC()) }, "INFO  m  d=1.235ms t=1970-01-01T00:00:00Z\n"},
		{"debug is silent by default", func(l *slog.Logger) { l.Debug("m") }, ""},
	} {
		var out bytes.Buffer
		c.log((&logOptions{logFormat: formatText}).newLogger(&out))
		got := out.String()
		if stamp := len("2006-01-02 15:04:05.000 "); len(got) > stamp {
			if _, err := time.Parse("2006-01-02 15:04:05.000 ", got[:stamp]); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			got = got[stamp:]
		}
		if got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.what, got, c.want)
		}
	}
}

func TestLogLevels(t *testing.T) {
	for _, c := range []struct {
		o    logOptions
		want string
	}{
		{logOptions{}, "iwe"},
		{logOptions{verbose: true}, "diwe"},
		{logOptions{quiet: true}, "we"},
	} {
		for _, format := range []logFormatValue{formatText, formatJSON} {
			var out bytes.Buffer
			c.o.logFormat = format
			l := c.o.newLogger(&out)
			l.Debug("=d=")
			l.Info("=i=")
			l.Warn("=w=")
			l.Error("=e=")
			var got string
			for _, letter := range "diwe" {
				if strings.Contains(out.String(), "="+string(letter)+"=") {
					got += string(letter)
				}
			}
			if got != c.want {
				t.Errorf("%+v: %s, want %s", c.o, got, c.want)
			}
		}
	}
}

func TestJSONLogIsOneObjectALine(t *testing.T) {
	var out bytes.Buffer
	l := (&logOptions{logFormat: formatJSON}).newLogger(&out)
	l.Info("a\nb\x1b\xff", "topic", "t", "offset", 5)
	var got struct {
		Level, Msg, Topic string
		Offset            int
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Level != "INFO" || got.Offset != 5 || got.Topic != "t" || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%q: %+v, %v", out.String(), got, err)
	}
}

func FuzzAppendClean(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x1b[2J", "\xff\xfe", "a\x00b", "\u202e", "\U0010ffff", "日本\t"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unprintable) {
			t.Errorf("%q becomes %q", s, got)
		}
		if utf8.ValidString(s) && !strings.ContainsFunc(s, unprintable) && got != s {
			t.Errorf("%q is changed to %q without need", s, got)
		}
	})
}
