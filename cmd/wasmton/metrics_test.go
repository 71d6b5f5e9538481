package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestProbes(t *testing.T) {
	s := newStatus()
	get := func(method, path string) (int, string) {
		w := httptest.NewRecorder()
		s.handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
		body, _ := io.ReadAll(w.Result().Body)
		return w.Code, string(body)
	}
	for _, c := range []struct {
		what         string
		ready        bool
		method, path string
		code         int
		part         string
	}{
		{"live before it is ready", false, "GET", "/livez", 200, "ok"},
		{"the alias of live", false, "GET", "/healthz", 200, "ok"},
		{"not ready", false, "GET", "/readyz", 503, "not a member"},
		{"ready", true, "GET", "/readyz", 200, "ok"},
		{"metrics", true, "GET", "/metrics", 200, "go_goroutines"},
		{"HEAD asks as GET does", true, "HEAD", "/livez", 200, ""},
		{"nothing can be posted", true, "POST", "/metrics", 405, ""},
		{"nothing else is there", true, "GET", "/", 404, ""},
	} {
		s.ready.Store(c.ready)
		if code, body := get(c.method, c.path); code != c.code || !strings.Contains(body, c.part) {
			t.Errorf("%s: %d %q", c.what, code, body)
		}
	}
}

func TestStatusServesUntilItIsClosed(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	s := newStatus()
	if err := s.listen("127.0.0.1:0", log); err != nil {
		t.Fatal(err)
	}
	_, url, _ := strings.Cut(strings.TrimSpace(out.String()), "url=")
	resp, err := http.Get(url)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	if err := newStatus().listen(strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/metrics"), log); err == nil || !strings.Contains(err.Error(), "--metrics-addr") {
		t.Errorf("a port that is taken: %v", err)
	}
	s.close()
	if _, err := http.Get(url); err == nil {
		t.Error("it serves on")
	}
	nothing := newStatus()
	if err := nothing.listen("", log); err != nil {
		t.Error(err)
	}
	nothing.close()
}
