package main

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestDescribeBuild(t *testing.T) {
	info := &debug.BuildInfo{
		Main: debug.Module{Version: "v0.3.1"},
		Deps: []*debug.Module{
			{Path: "github.com/bytecodealliance/wasmtime-go/v14", Version: "v14.0.0"},
			{Path: "github.com/twmb/franz-go/pkg/kmsg", Version: "v9"},
			{Path: "github.com/twmb/franz-go", Version: "v1.22.2"},
		},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}},
	}
	got := describeBuild("", info)
	for _, want := range []string{"wasmton   v0.3.1 (commit 0123456789ab, modified)\n", "wasmtime  v14.0.0\n", "franz-go  v1.22.2\n", "go        1."} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if got := describeBuild("v9.9.9", info); !strings.HasPrefix(got, "wasmton   v9.9.9 (") {
		t.Errorf("the linker's version does not count:\n%s", got)
	}
	if got := describeBuild("", &debug.BuildInfo{}); !strings.HasPrefix(got, "wasmton   development build\n") {
		t.Errorf("%s", got)
	}
}
