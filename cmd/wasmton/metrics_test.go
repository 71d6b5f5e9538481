package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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
		joined, stop bool
		method, path string
		code         int
		part         string
	}{
		{"live before it is ready", false, false, "GET", "/livez", 200, "ok"},
		{"the alias of live", false, false, "GET", "/healthz", 200, "ok"},
		{"not ready", false, false, "GET", "/readyz", 503, "not yet a member"},
		{"not ready any more", true, true, "GET", "/readyz", 503, "stopping"},
		{"live while it stops", true, true, "GET", "/livez", 200, "ok"},
		{"ready", true, false, "GET", "/readyz", 200, "ok"},
		{"metrics", true, false, "GET", "/metrics", 200, "go_goroutines"},
		{"HEAD asks as GET does", true, false, "HEAD", "/livez", 200, ""},
		{"nothing can be posted", true, false, "POST", "/metrics", 405, ""},
		{"nothing else is there", true, false, "GET", "/", 404, ""},
	} {
		s.joined.Store(c.joined)
		s.stopping.Store(c.stop)
		if code, body := get(c.method, c.path); code != c.code || !strings.Contains(body, c.part) {
			t.Errorf("%s: %d %q", c.what, code, body)
		}
	}
}

func TestAMemberIsReadyWhenItsGroupHasAnswered(t *testing.T) {
	s := newStatus()
	s.OnBrokerE2E(kgo.BrokerMetadata{}, kmsg.JoinGroup.Int16(), kgo.BrokerE2E{})
	s.OnBrokerE2E(kgo.BrokerMetadata{}, kmsg.SyncGroup.Int16(), kgo.BrokerE2E{ReadErr: io.EOF})
	if s.joined.Load() {
		t.Error("ready before the group has answered")
	}
	s.OnBrokerE2E(kgo.BrokerMetadata{}, kmsg.SyncGroup.Int16(), kgo.BrokerE2E{})
	if !s.joined.Load() {
		t.Error("not ready")
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
