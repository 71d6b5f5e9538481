package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"wasmton": main})
}

// leakChecked runs the tests and then looks for goroutines that they left.
type leakChecked struct{ testscript.TestingM }

func (m leakChecked) Run() int {
	code := m.TestingM.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestScripts runs testdata/script: the command line from outside, each run of
// wasmton a process. Beside testscript's own commands there are
//
//	exits CODE program args...   run a program, which must end with this code
//	start NAME program args...   run a program in the background
//	start -tty NAME program ...  with a terminal as standard input and error (Linux)
//	until NAME stdout|stderr RE [VAR]
//	                             wait until its output matches; VAR gets the first group
//	send NAME text               write a line to its standard input
//	eof NAME                     end its standard input
//	signal NAME INT|TERM|KILL|HUP
//	                             send it a signal
//	ends NAME CODE               wait for its end; stdout and stderr then are its
//	get URL CODE [RE]            ask for a page
//	post [-origin URL] URL CODE [RE]
//
// and those of kafka_test.go for brokers. The guests of testdata/guest lie in the
// script's directory.
func TestScripts(t *testing.T) {
	guests, err := filepath.Glob("testdata/guest/*.wat")
	if err != nil || len(guests) == 0 {
		t.Fatalf("no guests: %v", err)
	}
	commands := map[string]func(*testscript.TestScript, bool, []string){
		"exits": cmdExits, "start": cmdStart, "until": cmdUntil, "send": cmdSend, "eof": cmdEOF,
		"signal": cmdSignal, "ends": cmdEnds, "get": cmdGet, "post": cmdPost,
	}
	maps.Copy(commands, kafkaCommands)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Cmds:                commands,
		Setup: func(env *testscript.Env) error {
			env.Values[processes{}] = map[string]*process{}
			env.Setenv("TARGET", hostTarget())
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			for _, g := range guests {
				code, err := os.ReadFile(g)
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(env.WorkDir, filepath.Base(g)), code, 0o600); err != nil {
					return err
				}
			}
			return setupKafka(env)
		},
	})
}

// patience bounds every wait for another process. It is no measure of speed: it
// turns a hang into a failure.
const patience = 2 * time.Minute

func noNeg(ts *testscript.TestScript, neg bool) {
	if neg {
		ts.Fatalf("! is not supported here")
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE program args...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// process is a program in the background.
type process struct {
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr *watched
	ended          chan struct{} // closed when it has ended and all its output is here
}

type processes struct{} // key of the script's processes

func find(ts *testscript.TestScript, name string) *process {
	p := ts.Value(processes{}).(map[string]*process)[name]
	if p == nil {
		ts.Fatalf("no process %q was started", name)
	}
	return p
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	tty := len(args) > 0 && args[0] == "-tty"
	if tty {
		args = args[1:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: start [-tty] NAME program args...")
	}
	path := ""
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if candidate := filepath.Join(dir, args[1]); path == "" {
			if _, err := os.Stat(candidate); err == nil {
				path = candidate
			}
		}
	}
	if path == "" {
		ts.Fatalf("no program %q", args[1])
	}
	p := &process{cmd: exec.Command(path, args[2:]...), stdout: newWatched(), stderr: newWatched(), ended: make(chan struct{})}
	p.cmd.Dir = ts.MkAbs(".")
	for _, name := range scriptEnvironment {
		if v := ts.Getenv(name); v != "" {
			p.cmd.Env = append(p.cmd.Env, name+"="+v)
		}
	}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	var copying sync.WaitGroup
	if tty {
		master, slave, err := openTerminal()
		ts.Check(err)
		p.cmd.Stdin, p.cmd.Stderr, p.stdin = slave, slave, typist{master}
		p.cmd.Env = append(p.cmd.Env, "TERM=xterm")
		defer slave.Close()
		copying.Go(func() {
			_, _ = io.Copy(p.stderr, master) // ends with EIO when the last slave is closed
			_ = master.Close()
		})
	} else {
		stdin, err := p.cmd.StdinPipe()
		ts.Check(err)
		p.stdin = stdin
	}
	ts.Check(p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // the code is in ProcessState
		copying.Wait()
		p.stdout.end()
		p.stderr.end()
		close(p.ended)
	}()
	ts.Defer(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	ts.Value(processes{}).(map[string]*process)[args[0]] = p
}

// typist writes to a terminal as a person does, who ends the input with Ctrl-D.
type typist struct{ io.Writer }

func (t typist) Close() error {
	_, err := t.Write([]byte{4})
	return err
}

// scriptEnvironment is what processes in the background get of the script's.
var scriptEnvironment = []string{"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "GOCOVERDIR", "WASMTON_METRICS_ADDR"}

func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: until NAME stdout|stderr RE [VAR]")
	}
	p := find(ts, args[0])
	out := p.stderr
	if args[1] == "stdout" {
		out = p.stdout
	}
	re, err := regexp.Compile(`(?m)` + args[2])
	ts.Check(err)
	match := out.wait(re)
	if match == nil {
		ts.Fatalf("%s of %s never matches %s:\n%s", args[1], args[0], re, out)
	}
	if len(args) == 4 {
		ts.Setenv(args[3], match[1])
	}
}

func cmdSend(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	_, err := fmt.Fprintln(find(ts, args[0]).stdin, strings.Join(args[1:], " "))
	ts.Check(err)
}

func cmdEOF(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	ts.Check(find(ts, args[0]).stdin.Close())
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	signals := map[string]os.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "HUP": syscall.SIGHUP}
	if len(args) != 2 || signals[args[1]] == nil {
		ts.Fatalf("usage: signal NAME INT|TERM|KILL|HUP")
	}
	ts.Check(find(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

func cmdEnds(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	p := find(ts, args[0])
	select {
	case <-p.ended:
	case <-time.After(patience):
		ts.Fatalf("%s does not end:\n%s", args[0], p.stderr)
	}
	_, _ = io.WriteString(ts.Stdout(), p.stdout.String())
	_, _ = io.WriteString(ts.Stderr(), p.stderr.String())
	if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("%s ends with %s (%s), want %s:\n%s", args[0], got, p.cmd.ProcessState, args[1], p.stderr)
	}
}

func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) < 2 {
		ts.Fatalf("usage: get URL CODE [RE]")
	}
	ask(ts, http.MethodGet, "", args)
}

func cmdPost(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	origin := ""
	if len(args) > 1 && args[0] == "-origin" {
		origin, args = args[1], args[2:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: post [-origin URL] URL CODE [RE]")
	}
	ask(ts, http.MethodPost, origin, args)
}

// ask asks for a page, as a page of another origin would if that is not "".
func ask(ts *testscript.TestScript, method, origin string, args []string) {
	req, err := http.NewRequest(method, args[0], nil)
	ts.Check(err)
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	_ = resp.Body.Close()
	if strconv.Itoa(resp.StatusCode) != args[1] {
		ts.Fatalf("%s: %s: %s", args[0], resp.Status, body)
	}
	if len(args) > 2 {
		if matched, err := regexp.Match(`(?m)`+args[2], body); err != nil || !matched {
			ts.Fatalf("%s does not match %s: %v\n%s", args[0], args[2], err, body)
		}
	}
}

// watched is output that can be waited for.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	over  bool
	grown chan struct{} // closed and replaced when text grows or ends
}

func newWatched() *watched { return &watched{grown: make(chan struct{})} }

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	close(w.grown)
	w.grown = make(chan struct{})
	return len(p), nil
}

func (w *watched) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	close(w.grown)
	w.grown = make(chan struct{})
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// wait returns the first match and its groups, or nil when the text ended
// without one or patience is over.
func (w *watched) wait(re *regexp.Regexp) []string {
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		match, over, grown := re.FindStringSubmatch(w.text.String()), w.over, w.grown
		w.mu.Unlock()
		if match != nil || over {
			return match
		}
		select {
		case <-grown:
		case <-deadline:
			return nil
		}
	}
}
