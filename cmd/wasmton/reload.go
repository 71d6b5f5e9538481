package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/term"

	"github.com/wasmton/wasmton/processor/wasm"
	"github.com/wasmton/wasmton/wasihost"
)

// reloader reads the module's file again when it is asked to, and puts what it finds
// in the place of the module at work. Whatever is wrong with the new one, the old one
// goes on.
//
// It is asked by SIGHUP, by POST /reload and by --watch. Only one change is under way
// at a time; who comes meanwhile waits, since the file may have changed again.
type reloader struct {
	*app
	path    string
	engine  *wasihost.Engine
	module  *wasm.Module
	results *prometheus.CounterVec

	hangups chan os.Signal
	turn    chan struct{} // holds an element while a change is under way
	current [32]byte      // digest of the file that the module at work came from; guarded by turn

	ctx     context.Context // ends with stop
	cancel  context.CancelFunc
	asking  sync.WaitGroup // goroutines that listen for signals and the file
	stopped sync.Once
}

// reloadResult is the label of a metric.
type reloadResult string

const (
	reloadChanged   reloadResult = "changed"
	reloadUnchanged reloadResult = "unchanged"
	reloadFailed    reloadResult = "failed"
)

var errStopping = errors.New("wasmton is stopping")

// newReloader makes a reloader that takes note of SIGHUP, which would end the process
// from now on otherwise, and does nothing yet. stop must be called.
func newReloader(a *app, path string, registry prometheus.Registerer) *reloader {
	r := &reloader{
		app: a, path: path,
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wasmton_reloads_total", Help: "Times that the module's file was read again, by result: changed, unchanged, failed.",
		}, []string{"result"}),
		hangups: make(chan os.Signal, 1),
		turn:    make(chan struct{}, 1),
	}
	for _, result := range []reloadResult{reloadChanged, reloadUnchanged, reloadFailed} {
		r.results.WithLabelValues(string(result))
	}
	registry.MustRegister(r.results)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	signal.Notify(r.hangups, syscall.SIGHUP)
	return r
}

// start begins to listen: module, an instance of which is running, came from the file
// with that digest.
func (r *reloader) start(engine *wasihost.Engine, module *wasm.Module, file [32]byte, watch bool) error {
	r.engine, r.module, r.current = engine, module, file
	if watch {
		watcher, err := watchFile(r.path)
		if err != nil {
			return fmt.Errorf("--watch: %w", err)
		}
		ask := func() { _, _, _ = r.reload(r.ctx, "--watch") } // what comes of it has been logged
		r.asking.Go(func() {
			if fileDigest(r.path) != file { // changed before we watched it
				ask()
			}
			watcher.run(r.ctx, r.log, ask)
		})
	}
	r.asking.Go(r.listen)
	return nil
}

// stop waits for a change that is under way, and lets no other begin.
func (r *reloader) stop() {
	r.stopped.Do(func() {
		signal.Stop(r.hangups)
		r.cancel()
		r.asking.Wait()
		r.turn <- struct{}{}
	})
}

// listen waits for SIGHUP.
func (r *reloader) listen() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.hangups:
		}
		if r.console.hungUp() {
			// The terminal was closed: whoever started us is gone. A daemon has none.
			r.log.Warn("the terminal is gone: stopping")
			self, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = self.Signal(syscall.SIGTERM)
			}
			if err != nil {
				r.log.Error("can't stop", "error", err)
			}
			return
		}
		_, _, _ = r.reload(r.ctx, "SIGHUP") // what comes of it has been logged
	}
}

// hungUp reports whether standard error was a terminal and is none any more.
func (c *console) hungUp() bool { return c.terminal() && !term.IsTerminal(c.fd) }

// reload reads the file and changes to the module in it where that is another one. It
// returns the digest of the module at work then. An error is errStopping, ctx's, or
// the reason why nothing was changed, which has been logged.
func (r *reloader) reload(ctx context.Context, asked string) (reloadResult, string, error) {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return "", "", context.Cause(ctx)
	case <-r.ctx.Done():
		return "", "", errStopping
	}
	defer func() { <-r.turn }()
	begun := time.Now()
	before := digestText(r.module.Guest())
	changed, err := r.change()
	now := digestText(r.module.Guest())
	switch {
	case err != nil && r.ctx.Err() != nil:
		return "", "", errStopping
	case err != nil:
		r.results.WithLabelValues(string(reloadFailed)).Inc()
		r.log.Error("the module was not changed, the one at work goes on: "+err.Error(), "asked_by", asked, "digest", now)
		return reloadFailed, now, err
	case !changed:
		r.results.WithLabelValues(string(reloadUnchanged)).Inc()
		r.log.Info("the module is unchanged", "asked_by", asked, "digest", now)
		return reloadUnchanged, now, nil
	}
	r.results.WithLabelValues(string(reloadChanged)).Inc()
	r.log.Info("the module was changed", "asked_by", asked, "digest", now, "before", before, "took", roundDuration(time.Since(begun)))
	return reloadChanged, now, nil
}

// change is reload without its bookkeeping. An unchanged file is not compiled.
func (r *reloader) change() (changed bool, err error) {
	code, err := readModule(r.path)
	if err != nil {
		return false, err
	}
	file := sha256.Sum256(code)
	if file == r.current {
		return false, nil
	}
	guest, err := compileModule(r.engine, r.path, r.console)
	if err != nil {
		return false, err
	}
	if guest.Digest() == r.module.Guest().Digest() {
		guest.Close()
		r.current = file
		return false, nil
	}
	if err := r.module.Swap(r.ctx, guest); err != nil {
		guest.Close()
		return false, err
	}
	r.current = file
	return true, nil
}

// fileDigest is the digest of a file as change sees it; zero where it can't be read.
func fileDigest(path string) [32]byte {
	code, err := readModule(path)
	if err != nil {
		return [32]byte{}
	}
	return sha256.Sum256(code)
}

func digestText(m *wasihost.Module) string {
	digest := m.Digest()
	return "sha256:" + hex.EncodeToString(digest[:])
}

// handler serves POST /reload. It answers 200 with "changed" or "unchanged" and the
// digest of the module at work, and 422 with the reason where the module in the file
// can't be used.
//
// Who may call it can't say what is loaded: that is the file, always. But they choose
// the moment, so it is off unless asked for; and a page in somebody's browser may not
// call it, whatever network that browser is in.
func (r *reloader) handler(allowed bool) http.Handler {
	if !allowed {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "reloading by HTTP is off; --allow-reload lets it, SIGHUP needs no permission", http.StatusForbidden)
		})
	}
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		result, digest, err := r.reload(req.Context(), "POST /reload")
		switch {
		case errors.Is(err, errStopping):
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		case result == reloadFailed:
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		case err == nil:
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = fmt.Fprintf(w, "%s %s\n", result, digest) // a client that went away
		}
	}))
}
