package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// version is set by the linker for releases (-X main.version=v1.2.3).
var version string

// versionText names what a bug report needs: our version and commit, and the
// versions of what does the work.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return describeBuild(version, info)
}

func describeBuild(version string, info *debug.BuildInfo) string {
	var commit, modified string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	if version == "" {
		version = info.Main.Version
	}
	if version == "" || version == "(devel)" {
		version = "development build"
	}
	if commit != "" {
		version += " (commit " + commit + modified + ")"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "wasmton   %s\n", version)
	for _, dep := range info.Deps {
		switch {
		case strings.HasPrefix(dep.Path, "github.com/bytecodealliance/wasmtime-go"):
			fmt.Fprintf(&b, "wasmtime  %s\n", dep.Version)
		case dep.Path == "github.com/twmb/franz-go":
			fmt.Fprintf(&b, "franz-go  %s\n", dep.Version)
		}
	}
	fmt.Fprintf(&b, "%-9s %s %s/%s\n", "go", strings.TrimPrefix(runtime.Version(), "go"), runtime.GOOS, runtime.GOARCH)
	return b.String()
}
