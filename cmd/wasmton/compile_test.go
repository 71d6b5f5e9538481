package main

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTargets(t *testing.T) {
	foreign := "arm64"
	if runtime.GOARCH == foreign {
		foreign = "amd64"
	}
	for target, want := range map[string]bool{
		runtime.GOARCH:                                       true,
		runtime.GOOS + "/" + runtime.GOARCH:                  true,
		runtime.GOARCH + "-unknown-" + runtime.GOOS + "-gnu": true,
		foreign:                                       false,
		runtime.GOOS + "/" + foreign:                  false,
		"plan9/" + runtime.GOARCH:                     false,
		runtime.GOARCH + "-unknown-plan9":             false,
		foreign + "-unknown-" + runtime.GOOS + "-gnu": false,
		"/":                       false,
		"-":                       false,
		strings.Repeat("x", 1000): false,
		runtime.GOOS + "/" + runtime.GOARCH + "/" + "v3":                         false,
		strings.ToUpper(runtime.GOOS) + "/" + runtime.GOARCH:                     false,
		runtime.GOARCH + "-" + strings.ToUpper(runtime.GOOS):                     false,
		map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]: true,
	} {
		if got := isHostTarget(target); got != want {
			t.Errorf("isHostTarget(%q) = %v", target, got)
		}
		err := (&compileOptions{output: "x", cpu: "native", target: target}).check()
		if (err == nil) != want {
			t.Errorf("--target %q: %v", target, err)
		}
	}
	for target, want := range map[string]string{
		"aarch64":                   "linux/arm64 ...",
		"aarch64-unknown-linux-gnu": "linux/arm64 ...",
		"linux/x86_64":              "linux/amd64 ...",
		"aarch64-apple-darwin":      "",
		"darwin/arm64":              "",
	} {
		if got := inContainer(target); !strings.HasSuffix(got, want) || want == "" && got != "" {
			t.Errorf("inContainer(%q) = %q", target, got)
		}
	}
}

func TestWhileAModuleCompilesALineCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		end := showCompiling(&console{w: &out, fd: 1 << 20}, "guest.wasm", 3525304)
		time.Sleep(time.Second + time.Millisecond)
		end()
		got := strings.Split(out.String(), eraseLine)
		if len(got) != 7 || got[5] != "compiling guest.wasm (3,525,304 bytes): 1.0 s" || got[6] != "" {
			t.Errorf("%q", got)
		}

		out.Reset()
		end = showCompiling(&console{w: &out, fd: -1}, "guest.wasm", 1)
		time.Sleep(time.Second)
		if end(); out.Len() > 0 {
			t.Errorf("not on a terminal: %q", out.String())
		}
	})
}
